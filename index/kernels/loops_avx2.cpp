// AVX2 loops.
#include "loops.h"

#include <immintrin.h>

namespace lsr {
namespace {

void add_row_u8(uint32_t* bounds, const uint8_t* row, size_t n, uint32_t query) {
  // A weight widened to 32 bits is a pair (weight, 0) of 16-bit integers, so a multiply-add of
  // pairs is one exact product; `query` fits 15 bits.
  const __m256i factor = _mm256_set1_epi32(static_cast<int>(query));
  for (size_t i = 0; i < n; i += 8) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i));
    const __m256i product = _mm256_madd_epi16(_mm256_cvtepu8_epi32(bytes), factor);
    __m256i* at = reinterpret_cast<__m256i*>(bounds + i);
    _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), product));
  }
}

void add_row_u16(uint32_t* bounds, const uint16_t* row, size_t n, uint32_t query) {
  const __m256i factor = _mm256_set1_epi32(static_cast<int>(query));
  for (size_t i = 0; i < n; i += 8) {
    const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i));
    const __m256i product = _mm256_mullo_epi32(_mm256_cvtepu16_epi32(words), factor);
    __m256i* at = reinterpret_cast<__m256i*>(bounds + i);
    _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), product));
  }
}

size_t select(const uint32_t* values, size_t n, uint32_t threshold, uint16_t* out) {
  // Signed comparison: the threshold is below 2^31 and so is every sum of a sound index.
  const __m256i below = _mm256_set1_epi32(static_cast<int>(threshold) - 1);
  size_t found = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i sums = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i));
    unsigned mask = static_cast<unsigned>(
        _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(sums, below))));
    while (mask != 0) {
      out[found++] = static_cast<uint16_t>(i + static_cast<unsigned>(__builtin_ctz(mask)));
      mask &= mask - 1;
    }
  }
  return select_plain(values, i, n, threshold, out, found);
}

}  // namespace

const Loops kAvx2Loops = {add_run<uint8_t>, add_run<uint16_t>, add_row_u8, add_row_u16, select};

}  // namespace lsr
