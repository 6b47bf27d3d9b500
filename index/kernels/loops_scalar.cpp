// The reference loops: what every other instruction set must equal.
#include "loops.h"

namespace lsr {
namespace {

void add_run_u8(uint32_t* sums, const uint16_t* documents, const uint8_t* weights, size_t n,
                uint32_t query) {
  add_run_plain(sums, documents, weights, n, query);
}

void add_run_u16(uint32_t* sums, const uint16_t* documents, const uint16_t* weights, size_t n,
                 uint32_t query) {
  add_run_plain(sums, documents, weights, n, query);
}

void add_row_u8(uint32_t* bounds, const uint8_t* row, size_t n, uint32_t query) {
  add_row_plain(bounds, row, n, query);
}

void add_row_u16(uint32_t* bounds, const uint16_t* row, size_t n, uint32_t query) {
  add_row_plain(bounds, row, n, query);
}

size_t select(const uint32_t* values, size_t n, uint32_t threshold, uint16_t* out) {
  return select_plain(values, 0, n, threshold, out, 0);
}

}  // namespace

const Loops kScalarLoops = {add_run_u8, add_run_u16, add_row_u8, add_row_u16, select};

}  // namespace lsr
