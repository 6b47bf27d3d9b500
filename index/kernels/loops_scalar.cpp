// The reference loops: what every other instruction set must equal.
#include "loops.h"

namespace lsr {
namespace {

size_t select(const uint32_t* values, size_t n, uint32_t threshold, uint16_t* out) {
  return select_plain(values, 0, n, threshold, out, 0);
}

}  // namespace

const Loops kScalarLoops = {add_run<uint8_t>, add_run<uint16_t>, add_row<uint8_t>,
                           add_row<uint16_t>, select};

}  // namespace lsr
