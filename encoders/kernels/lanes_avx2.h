// Vectors of 8 floats, for loops_generic.h.  In a unit with -mavxvnni quads of bytes are multiplied
// by the instruction for them, without it by maddubs.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "loops.h"
#include "read.h"

namespace lsr::encoders {
namespace {

constexpr size_t kLanes = 8;
constexpr size_t kRows = 6;
constexpr size_t kByteRows = 4;
constexpr size_t kByteVectors = 2;
constexpr bool kShiftsBytes = false;

using Vec = __m256;
typedef int32_t Ints __attribute__((vector_size(32)));

inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }

#ifdef __AVXVNNI__

constexpr int8_t kMostScreened = 127;

using Bytes = __m256i;
using Byte = __m256i;

inline Bytes weights_at(const int8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
inline Byte input_at(const uint8_t* from) { return _mm256_set1_epi32(read<int32_t>(from)); }
inline Ints dot(Ints sum, const Bytes& w, const Byte& x) {
  return reinterpret_cast<Ints>(_mm256_dpbusd_avx_epi32(reinterpret_cast<__m256i>(sum), x, w));
}

#else

// Two quads give four products to each sum of 16 bits: at most 4 x 255 x 32 = 32,640, which is
// below 32,768, so nothing saturates or wraps.  So do those of `product_bytes`; see kMostWeight.
constexpr int8_t kMostScreened = 32;

template <size_t rows, size_t vectors>
inline void multiply_small(const uint8_t* row, size_t stride, size_t inner, const int8_t* weights,
                           Ints (&sums)[rows][vectors]) {
  const auto quads = [](const int8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  };
  const auto quad = [](const uint8_t* from) { return _mm256_set1_epi32(read<int32_t>(from)); };
  for (auto& row_sums : sums)
    for (Ints& value : row_sums) value = Ints{};
  for (size_t k = 0; k < inner; k += kByteStep, weights += kBytePanel * kByteStep) {
    __m256i first[vectors], second[vectors];
    for (size_t v = 0; v < vectors; ++v) {
      first[v] = quads(weights + v * 32);
      second[v] = quads(weights + kBytePanel * kQuad + v * 32);
    }
    for (size_t r = 0; r < rows; ++r) {
      const uint8_t* from = row + r * stride + k;
      const __m256i x = quad(from), y = quad(from + kQuad);
      for (size_t v = 0; v < vectors; ++v) {
        const __m256i pairs =
            _mm256_add_epi16(_mm256_maddubs_epi16(x, first[v]), _mm256_maddubs_epi16(y, second[v]));
        sums[r][v] += reinterpret_cast<Ints>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
      }
    }
  }
}

#endif

inline uint32_t signs(Ints v) {
  return static_cast<uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(v)));
}

inline __m256i first_lanes(size_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count < kLanes ? count : kLanes)),
                            lanes);
}
inline Vec load_part(const float* from, size_t count) {
  return _mm256_maskload_ps(from, first_lanes(count));
}
inline void store_part(float* to, Vec v, size_t count) {
  // Where all are stored, some processors take far longer with a mask.
  if (count >= kLanes)
    _mm256_storeu_ps(to, v);
  else
    _mm256_maskstore_ps(to, first_lanes(count), v);
}
inline void store_bytes(void* to, Ints v, size_t count) {
  const __m256i lowest = _mm256_set1_epi32(0x0c080400);
  const __m256i halves = _mm256_shuffle_epi8(reinterpret_cast<__m256i>(v), lowest);
  const __m256i bytes = _mm256_permutevar8x32_epi32(halves, _mm256_set1_epi64x(int64_t{4} << 32));
  if (count >= kLanes)
    _mm_storeu_si64(to, _mm256_castsi256_si128(bytes));
  else
    std::memcpy(to, &bytes, count);
}

}  // namespace
}  // namespace lsr::encoders
