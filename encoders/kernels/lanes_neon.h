// Vectors of four floats on ARM, for loops_generic.h: all that does not multiply bytes.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "read.h"

namespace lsr::encoders {
namespace {

constexpr size_t kLanes = 4;
constexpr size_t kRows = 12;

typedef float Vec __attribute__((vector_size(16)));
typedef int32_t Ints __attribute__((vector_size(16)));

inline Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }

inline uint32_t signs(Ints v) {
  const int32x4_t places = {0, 1, 2, 3};
  return vaddvq_u32(vshlq_u32(vshrq_n_u32(reinterpret_cast<uint32x4_t>(v), 31), places));
}

inline Vec load_part(const float* from, size_t count) {
  if (count >= kLanes) return read<Vec>(from);
  Vec v = {};
  for (size_t i = 0; i < count; ++i) v[i] = from[i];
  return v;
}
inline void store_part(float* to, Vec v, size_t count) {
  for (size_t i = 0; i < (count < kLanes ? count : kLanes); ++i) to[i] = v[i];
}
inline void store_bytes(void* to, Ints v, size_t count) {
  auto* bytes = static_cast<uint8_t*>(to);
  for (size_t i = 0; i < (count < kLanes ? count : kLanes); ++i)
    bytes[i] = static_cast<uint8_t>(v[i]);
}

}  // namespace
}  // namespace lsr::encoders
