// AVX-512 loops (F, BW, VL, DQ, VNNI, VBMI2), with POPCNT and BMI2.
#include "loops_bmi2.h"

namespace lsr {
namespace {

uint16_t largest(__m512i a, __m512i b) {
  const __m512i both = _mm512_max_epu16(a, b);
  const __m256i half =
      _mm256_max_epu16(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
  const __m128i rest =
      _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  // The machine has a minimum across lanes, so take that of the complements.
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(rest, _mm_set1_epi16(-1)));
  return static_cast<uint16_t>(~_mm_extract_epi16(least, 0));
}

// Adds one run's values of 64 blocks to the sums of the even and the odd blocks; returns where
// the next group's codes start.
inline const uint8_t* add_codes(const uint8_t* codes, uint64_t bitmap, __m512i lut, __m512i& even,
                                __m512i& odd) {
  const __m512i wide =
      _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
  const __m512i nibbles =
      _mm512_and_si512(_mm512_or_si512(wide, _mm512_slli_epi16(wide, 4)), _mm512_set1_epi8(15));
  const __m512i values = _mm512_maskz_expand_epi8(bitmap, _mm512_shuffle_epi8(lut, nibbles));
  even = _mm512_add_epi16(even, _mm512_and_si512(values, _mm512_set1_epi16(255)));
  odd = _mm512_add_epi16(odd, _mm512_srli_epi16(values, 8));
  return codes + (ones(bitmap) + 1) / 2;
}

void bound(const Run* runs, const uint8_t* luts, const uint8_t** codes, size_t rows,
           const Splits& splits, size_t groups, uint16_t* bounds, uint16_t* peaks) {
  const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
  for (size_t row = 0; row < rows; ++row) codes[row] = runs[row].maxima;
  for (size_t group = 0; group < groups; ++group) {
    // Sums of the even and of the odd blocks: what a byte-wise lookup widens to.
    __m512i even = _mm512_setzero_si512(), odd = even;
    size_t row = rows;
    for (size_t part = kSplits + 1; part-- > 0;) {
      for (const size_t end = part > 0 ? splits.at[part - 1] : 0; row > end;) {
        --row;
        const uint8_t*& at = codes[row];
        _mm_prefetch(reinterpret_cast<const char*>(at + 320), _MM_HINT_T0);
        if (group % 8 == 0)
          _mm_prefetch(reinterpret_cast<const char*>(runs[row].bitmaps + group + 24), _MM_HINT_T0);
        // The places of the records are wanted when blocks are scored.
        if (group % 16 == 0)
          _mm_prefetch(reinterpret_cast<const char*>(runs[row].records + 2 * group), _MM_HINT_T1);
        at = add_codes(at, runs[row].bitmaps[group],
                       _mm512_broadcast_i32x4(
                           _mm_loadu_si128(reinterpret_cast<const __m128i*>(luts + row * kCodes))),
                       even, odd);
      }
      if (part == 0) break;
      uint16_t* rest = splits.rests[part - 1] + group * kGroup;
      _mm512_storeu_si512(rest, _mm512_permutex2var_epi16(even, first, odd));
      _mm512_storeu_si512(rest + 32, _mm512_permutex2var_epi16(even, second, odd));
    }
    uint16_t* at = bounds + group * kGroup;
    const __m512i low = _mm512_add_epi16(_mm512_permutex2var_epi16(even, first, odd),
                                         _mm512_loadu_si512(at));
    const __m512i high = _mm512_add_epi16(_mm512_permutex2var_epi16(even, second, odd),
                                          _mm512_loadu_si512(at + 32));
    _mm512_storeu_si512(at, low);
    _mm512_storeu_si512(at + 32, high);
    peaks[group] = largest(low, high);
  }
}

uint64_t at_least(const uint16_t* values, uint16_t least) {
  const __m512i limit = _mm512_set1_epi16(static_cast<short>(least));
  const uint64_t high = _mm512_cmpge_epu16_mask(_mm512_loadu_si512(values + 32), limit);
  return _mm512_cmpge_epu16_mask(_mm512_loadu_si512(values), limit) | high << 32;
}

// Writes the weights of a group's documents as bytes, zero where there is none.
void expand(const Run& run, size_t group, uint8_t* out) {
  uint64_t bitmap = run.bitmaps[group];
  for (size_t half = 0; half < 2; ++half) {
    const uint8_t* masks = record_at(run, 2 * group + half, 1);
    const uint8_t* weights = masks + ones(bitmap & 0xFFFFFFFFu);
    for (size_t part = 0; part < 4; ++part, out += 64, bitmap >>= 8) {
      // Eight blocks: their masks, spread by the bitmap, are the mask of 64 documents.
      const uint64_t documents = _pdep_u64(load64(masks), spread(bitmap & 255));
      masks += ones(bitmap & 255);
      _mm512_store_si512(out, _mm512_maskz_expand_epi8(documents, _mm512_loadu_si512(weights)));
      weights += ones(documents);
    }
  }
}

// Seven bits of each of four 16-bit factors, as four bytes.
int bytes_of(uint64_t factors, int shift) {
  return static_cast<int>(_pext_u64(factors >> shift & 0x007F007F007F007Fu, 0x00FF00FF00FF00FFu));
}

// Adds the products of a tile to the sums of 64 documents, by two dot products of 7-bit query
// weights and bytes: four rows of a document at once.
void multiply(const uint8_t* tile, const int16_t* factors, size_t quads, uint32_t* sums) {
  __m512i low[4], high[4];
  for (int i = 0; i < 4; ++i) low[i] = high[i] = _mm512_setzero_si512();
  for (size_t quad = 0; quad < quads; ++quad) {
    const uint8_t* rows = tile + quad * 4 * kTile;
    const __m512i a = _mm512_load_si512(rows), b = _mm512_load_si512(rows + kTile);
    const __m512i c = _mm512_load_si512(rows + 2 * kTile), d = _mm512_load_si512(rows + 3 * kTile);
    const __m512i ab[2] = {_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)};
    const __m512i cd[2] = {_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d)};
    // Four rows' weights of a document side by side, as the dot product wants them.
    const __m512i documents[4] = {
        _mm512_unpacklo_epi16(ab[0], cd[0]), _mm512_unpackhi_epi16(ab[0], cd[0]),
        _mm512_unpacklo_epi16(ab[1], cd[1]), _mm512_unpackhi_epi16(ab[1], cd[1])};
    uint64_t whole;  // four factors of 14 bits
    __builtin_memcpy(&whole, factors + 4 * quad, 8);
    const __m512i q_low = _mm512_set1_epi32(bytes_of(whole, 0));
    const __m512i q_high = _mm512_set1_epi32(bytes_of(whole, 7));
    for (int i = 0; i < 4; ++i) {
      low[i] = _mm512_dpbusd_epi32(low[i], documents[i], q_low);
      high[i] = _mm512_dpbusd_epi32(high[i], documents[i], q_high);
    }
  }
  // Each register holds 4 neighbouring documents of every 16: transpose the 128-bit lanes.
  for (int i = 0; i < 4; ++i) low[i] = _mm512_add_epi32(low[i], _mm512_slli_epi32(high[i], 7));
  const __m512i a = _mm512_shuffle_i32x4(low[0], low[1], 0x44);
  const __m512i b = _mm512_shuffle_i32x4(low[2], low[3], 0x44);
  const __m512i c = _mm512_shuffle_i32x4(low[0], low[1], 0xEE);
  const __m512i d = _mm512_shuffle_i32x4(low[2], low[3], 0xEE);
  const __m512i ordered[4] = {_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD),
                              _mm512_shuffle_i32x4(c, d, 0x88), _mm512_shuffle_i32x4(c, d, 0xDD)};
  for (int i = 0; i < 4; ++i)
    _mm512_storeu_si512(sums + 16 * i,
                        _mm512_add_epi32(_mm512_loadu_si512(sums + 16 * i), ordered[i]));
}

void add_group(const Run* runs, const int16_t* factors, size_t rows, size_t group, size_t ahead,
               unsigned planes, uint8_t* tile, uint32_t* sums) {
  for (size_t row = 0; row < rows; ++row) {
    prefetch_row(runs[row], group, ahead, planes);
    // Dot products are of bytes.
    if (planes == 2)
      add_row(runs[row], group, factors[row], planes, sums);
    else
      expand(runs[row], group, tile + row * kTile);
  }
  if (planes == 2) return;
  for (size_t at = 0; at < kTile; at += 64)
    multiply(tile + at, factors, (rows + 3) / 4, sums + at);
}

uint64_t reach(const uint32_t* sums, const uint32_t* least) {
  uint64_t reached = 0;
  for (int i = 0; i < 4; ++i) {
    const __m512i limits = _mm512_inserti64x4(
        _mm512_set1_epi32(static_cast<int>(least[2 * i])),
        _mm256_set1_epi32(static_cast<int>(least[2 * i + 1])), 1);
    const __mmask16 mask = _mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums + 16 * i), limits);
    reached |= static_cast<uint64_t>(mask) << (16 * i);
  }
  return reached;
}

}  // namespace

const Loops kAvx512Loops = {bound, at_least, add_group, add_blocks, find_ranks, reach};

}  // namespace lsr
