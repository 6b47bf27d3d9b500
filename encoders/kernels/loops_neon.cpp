// NEON, which is a part of every 64-bit ARM: bytes are widened to 16 bits, whose products are added
// to 32.
#include "lanes_neon.h"

namespace lsr::encoders {
namespace {

constexpr size_t kByteRows = 6;
constexpr size_t kByteVectors = 2;
constexpr bool kShiftsBytes = false;
constexpr int8_t kMostScreened = 127;

// The first and second, and the third and fourth of each quad: one value of all four quads is half
// a register.
struct Bytes {
  int16x8_t first, last;
};
using Byte = int16x4_t;

inline Bytes weights_at(const int8_t* from) {
  const uint8x16_t apart = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  const int8x16_t bytes = vqtbl1q_s8(vld1q_s8(from), apart);
  return {vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)};
}
inline Byte input_at(const uint8_t* from) {
  const uint8x8_t quad = vreinterpret_u8_u32(vdup_n_u32(read<uint32_t>(from)));
  return vreinterpret_s16_u16(vget_low_u16(vmovl_u8(quad)));
}
inline Ints dot(Ints sum, const Bytes& w, const Byte& x) {
  int32x4_t s = sum;
  s = vmlal_lane_s16(s, vget_low_s16(w.first), x, 0);
  s = vmlal_high_lane_s16(s, w.first, x, 1);
  s = vmlal_lane_s16(s, vget_low_s16(w.last), x, 2);
  return vmlal_high_lane_s16(s, w.last, x, 3);
}

}  // namespace
}  // namespace lsr::encoders

#include "loops_generic.h"

namespace lsr::encoders {
const Loops kNeonLoops = kLoops;
}
