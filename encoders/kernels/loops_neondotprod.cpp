// NEON with dot products of bytes.  They multiply signed with signed, so rows, whose bytes are x +
// 128, are shifted back.
#include "lanes_neon.h"

namespace lsr::encoders {
namespace {

constexpr size_t kByteRows = 5;
constexpr size_t kByteVectors = 4;
constexpr bool kShiftsBytes = true;
constexpr int8_t kMostScreened = 127;

using Bytes = int8x16_t;
using Byte = int8x16_t;

inline Bytes weights_at(const int8_t* from) { return vld1q_s8(from); }
inline Byte input_at(const uint8_t* from) {
  return vreinterpretq_s8_u32(vdupq_n_u32(read<uint32_t>(from) ^ 0x80808080u));
}
inline Ints dot(Ints sum, const Bytes& w, const Byte& x) { return vdotq_s32(sum, w, x); }

}  // namespace
}  // namespace lsr::encoders

#include "loops_generic.h"

namespace lsr::encoders {
const Loops kNeonDotprodLoops = kLoops;
}
