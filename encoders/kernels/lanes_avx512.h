// Vectors of 16 floats, for loops_generic.h.  In a unit with -mavx512bf16 pairs of bfloat16 are
// multiplied by the instruction for them.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "read.h"

namespace lsr::encoders {
namespace {

constexpr size_t kLanes = 16;
constexpr size_t kRows = 12;
constexpr size_t kByteRows = 6;
constexpr size_t kByteVectors = 4;
constexpr bool kShiftsBytes = false;
constexpr int8_t kMostScreened = 127;

using Vec = __m512;
typedef int32_t Ints __attribute__((vector_size(64)));

inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }

using Bytes = __m512i;
using Byte = __m512i;

inline Bytes weights_at(const int8_t* from) { return _mm512_loadu_si512(from); }
inline Byte input_at(const uint8_t* from) { return _mm512_set1_epi32(read<int32_t>(from)); }
inline Ints dot(Ints sum, const Bytes& w, const Byte& x) {
  return reinterpret_cast<Ints>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), x, w));
}
inline uint32_t signs(Ints v) { return _mm512_movepi32_mask(reinterpret_cast<__m512i>(v)); }

inline __mmask16 first_lanes(size_t count) {
  return static_cast<__mmask16>(count >= kLanes ? 0xffffu : (1u << count) - 1);
}
inline Vec load_part(const float* from, size_t count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), from);
}
inline void store_part(float* to, Vec v, size_t count) {
  _mm512_mask_storeu_ps(to, first_lanes(count), v);
}

inline void store_bytes(void* to, Ints v, size_t count) {
  _mm512_mask_cvtepi32_storeu_epi8(to, first_lanes(count), reinterpret_cast<__m512i>(v));
}

#ifdef __AVX512BF16__

struct Pairs {
  __m512bh values;
};
using Pair = Pairs;

inline Pairs weights_at(const uint16_t* from) {
  return {reinterpret_cast<__m512bh>(_mm512_loadu_si512(from))};
}
inline Pair input_at(const uint16_t* from) {
  return {reinterpret_cast<__m512bh>(_mm512_set1_epi32(read<int32_t>(from)))};
}
inline Vec dot(Vec sum, const Pairs& w, const Pair& x) {
  return _mm512_dpbf16_ps(sum, w.values, x.values);
}

#endif

}  // namespace
}  // namespace lsr::encoders
