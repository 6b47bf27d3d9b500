// AVX-512 loops (F, BW, VL, DQ, VNNI, VBMI2).
#include "loops.h"

#include <immintrin.h>

namespace lsr {
namespace {

void add_row_u8(uint32_t* bounds, const uint8_t* row, size_t n, uint32_t query) {
  // (weight, 0) pairs of 16-bit integers: a multiply-add of pairs is one exact product.
  const __m512i factor = _mm512_set1_epi32(static_cast<int>(query));
  for (size_t i = 0; i < n; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i));
    const __m512i product = _mm512_madd_epi16(_mm512_cvtepu8_epi32(bytes), factor);
    _mm512_storeu_si512(bounds + i,
                        _mm512_add_epi32(_mm512_loadu_si512(bounds + i), product));
  }
}

void add_row_u16(uint32_t* bounds, const uint16_t* row, size_t n, uint32_t query) {
  const __m512i factor = _mm512_set1_epi32(static_cast<int>(query));
  for (size_t i = 0; i < n; i += 16) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + i));
    const __m512i product = _mm512_mullo_epi32(_mm512_cvtepu16_epi32(words), factor);
    _mm512_storeu_si512(bounds + i,
                        _mm512_add_epi32(_mm512_loadu_si512(bounds + i), product));
  }
}

size_t select(const uint32_t* values, size_t n, uint32_t threshold, uint16_t* out) {
  const __m512i least = _mm512_set1_epi32(static_cast<int>(threshold));
  const __m512i lanes =
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  size_t found = 0, i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m512i sums = _mm512_loadu_si512(values + i);
    const __mmask16 mask = _mm512_cmpge_epi32_mask(sums, least);
    if (mask == 0) continue;
    // Compressed in a register and stored whole: a compressing store takes many times longer
    // on some processors.  `out` has room for the unused lanes.
    const __m512i indexes = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(i)));
    const __m256i packed = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(mask, indexes));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + found), packed);
    found += static_cast<size_t>(__builtin_popcount(mask));
  }
  return select_plain(values, i, n, threshold, out, found);
}

}  // namespace

const Loops kAvx512Loops = {add_run<uint8_t>, add_run<uint16_t>, add_row_u8, add_row_u16, select};

}  // namespace lsr
