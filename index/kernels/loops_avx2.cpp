// AVX2 loops, with POPCNT and BMI2.
#include "loops_bmi2.h"

namespace lsr {
namespace {

// The values of 8 blocks, zero for the absent ones, from a word whose low bits are their codes.
uint64_t absent_or_code(uint64_t codes, uint64_t bits) {
  const uint64_t present = spread(bits);
  // A byte with its high bit set is looked up as zero.
  return _pdep_u64(codes, present & 0x0F0F0F0F0F0F0F0Fu) | (~present & 0x8080808080808080u);
}

void bound(const Run* runs, const uint8_t* luts, const uint8_t** codes, size_t rows,
           size_t groups, uint16_t* bounds, uint16_t* peaks) {
  for (size_t row = 0; row < rows; ++row) codes[row] = runs[row].maxima;
  for (size_t group = 0; group < groups; ++group) {
    __m256i sums[4];
    for (__m256i& sum : sums) sum = _mm256_setzero_si256();
    for (size_t row = 0; row < rows; ++row) {
      const __m256i lut = _mm256_broadcastsi128_si256(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(luts + row * kCodes)));
      const uint8_t* at = codes[row];
      _mm_prefetch(reinterpret_cast<const char*>(at + 320), _MM_HINT_T0);
      uint64_t bitmap = runs[row].bitmaps[group];
      size_t nibble = 0;
      for (int i = 0; i < 2; ++i) {  // 32 blocks
        uint64_t words[4];
        for (uint64_t& word : words) {
          // A word from the byte of the first code has the 8 codes even from its middle.
          word = absent_or_code(load64(at + nibble / 2) >> (nibble % 2 * 4), bitmap & 255);
          nibble += ones(bitmap & 255);
          bitmap >>= 8;
        }
        const __m256i values = _mm256_shuffle_epi8(
            lut, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
        sums[2 * i] = _mm256_add_epi16(
            sums[2 * i], _mm256_cvtepu8_epi16(_mm256_castsi256_si128(values)));
        sums[2 * i + 1] = _mm256_add_epi16(
            sums[2 * i + 1], _mm256_cvtepu8_epi16(_mm256_extracti128_si256(values, 1)));
      }
      codes[row] = at + (nibble + 1) / 2;
    }
    __m256i most = _mm256_setzero_si256();
    __m256i* at = reinterpret_cast<__m256i*>(bounds + group * kGroup);
    for (int i = 0; i < 4; ++i) {
      sums[i] = _mm256_add_epi16(sums[i], _mm256_loadu_si256(at + i));
      _mm256_storeu_si256(at + i, sums[i]);
      most = _mm256_max_epu16(most, sums[i]);
    }
    const __m128i half =
        _mm_max_epu16(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    // The machine has a minimum across lanes, so take that of the complements.
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(half, _mm_set1_epi16(-1)));
    peaks[group] = static_cast<uint16_t>(~_mm_extract_epi16(least, 0));
  }
}

uint64_t at_least(const uint16_t* values, uint16_t least) {
  const __m256i limit = _mm256_set1_epi16(static_cast<short>(least));
  uint64_t found = 0;
  for (int i = 0; i < 2; ++i) {
    const __m256i* at = reinterpret_cast<const __m256i*>(values) + 2 * i;
    // a >= b exactly when max(a, b) is a: there is no unsigned comparison.
    const __m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1);
    const __m256i low = _mm256_cmpeq_epi16(_mm256_max_epu16(a, limit), a);
    const __m256i high = _mm256_cmpeq_epi16(_mm256_max_epu16(b, limit), b);
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xD8);
    const auto mask = static_cast<unsigned>(_mm256_movemask_epi8(bytes));
    found |= static_cast<uint64_t>(mask) << (32 * i);
  }
  return found;
}

}  // namespace

const Loops kAvx2Loops = {bound, at_least, score_blocks, find_ranks};

}  // namespace lsr
