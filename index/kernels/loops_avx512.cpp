// AVX-512 loops (F, BW, VL, DQ, VNNI, VBMI2), with POPCNT and BMI2.
#include "lists.h"
#include "loops_bmi2.h"

namespace lsr::index {
namespace {

uint16_t largest(__m512i a, __m512i b) {
  const __m512i both = _mm512_max_epu16(a, b);
  const __m256i half =
      _mm256_max_epu16(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
  const __m128i rest =
      _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  // Only the minimum across lanes is an instruction, so take that of the complements.
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(rest, _mm_set1_epi16(-1)));
  return static_cast<uint16_t>(~_mm_extract_epi16(least, 0));
}

// Adds one run's values of 64 blocks to the sums of the even and the odd blocks; returns where
// the next superblock's codes start.
inline const uint8_t* add_codes(const uint8_t* codes, uint64_t bitmap, __m512i table, __m512i& even,
                                __m512i& odd) {
  const __m512i wide =
      _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
  const __m512i nibbles = _mm512_ternarylogic_epi32(  // (a | b) & c
      wide, _mm512_slli_epi16(wide, 4), _mm512_set1_epi8(15), 0xA8);
  const __m512i values = _mm512_maskz_expand_epi8(bitmap, _mm512_shuffle_epi8(table, nibbles));
  even = _mm512_add_epi16(even, _mm512_and_si512(values, _mm512_set1_epi16(255)));
  odd = _mm512_add_epi16(odd, _mm512_srli_epi16(values, 8));
  return codes + (ones(bitmap) + 1) / 2;
}

// Adds the values of two rows to the sums of even and odd blocks, two registers a superblock.  The
// hardware prefetches no two streams a row, so this prefetches those of the next rows, `soon`.
void add_two(const Run* two, const uint8_t* tables, size_t superblocks, const Run* soon,
             __m512i* sums) {
  const uint8_t* codes[2] = {two[0].maxima, two[1].maxima};
  __m512i table[2];
  for (size_t i = 0; i < 2; ++i)
    table[i] = _mm512_broadcast_i32x4(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(tables + i * kCodes)));
  const size_t steps[2] = {(soon[0].codes + superblocks - 1) / superblocks,
                           (soon[1].codes + superblocks - 1) / superblocks};
  for (size_t superblock = 0; superblock < superblocks; ++superblock) {
    for (size_t i = 0; i < 2; ++i) {
      _mm_prefetch(reinterpret_cast<const char*>(soon[i].maxima + superblock * steps[i]),
                   _MM_HINT_T0);
      if (superblock % 8 == 0)
        _mm_prefetch(reinterpret_cast<const char*>(soon[i].bitmaps + superblock), _MM_HINT_T0);
      // The addresses of the chunks are used when blocks are scored.
      if (superblock % 16 == 0)
        _mm_prefetch(reinterpret_cast<const char*>(soon[i].chunks + 2 * superblock), _MM_HINT_T1);
    }
    __m512i even = sums[2 * superblock], odd = sums[2 * superblock + 1];
    for (size_t i = 0; i < 2; ++i)
      codes[i] = add_codes(codes[i], two[i].bitmaps[superblock], table[i], even, odd);
    sums[2 * superblock] = even;
    sums[2 * superblock + 1] = odd;
  }
}

void bound(const Run* runs, const uint8_t* tables, size_t rows, size_t superblocks,
           uint16_t* bounds, uint16_t* superblock_maxima) {
  __m512i sums[kMostSuperblocks * 2];
  for (size_t i = 0; i < 2 * superblocks; ++i) sums[i] = _mm512_setzero_si512();
  for (size_t row = 0; row < rows; row += 2) {
    Run four[4];  // two rows and the next two
    for (size_t i = 0; i < 4; ++i) four[i] = row + i < rows ? runs[row + i] : kNoRun;
    add_two(four, tables + row * kCodes, superblocks, four + 2, sums);
  }
  const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
  for (size_t superblock = 0; superblock < superblocks; ++superblock) {
    const __m512i even = sums[2 * superblock], odd = sums[2 * superblock + 1];
    uint16_t* at = bounds + superblock * kSuperblock;
    const __m512i low =
        _mm512_add_epi16(_mm512_permutex2var_epi16(even, first, odd), _mm512_loadu_si512(at));
    const __m512i high =
        _mm512_add_epi16(_mm512_permutex2var_epi16(even, second, odd), _mm512_loadu_si512(at + 32));
    _mm512_storeu_si512(at, low);
    _mm512_storeu_si512(at + 32, high);
    superblock_maxima[superblock] = largest(low, high);
  }
}

uint64_t at_least(const uint16_t* values, uint16_t least) {
  const __m512i limit = _mm512_set1_epi16(static_cast<short>(least));
  const uint64_t high = _mm512_cmpge_epu16_mask(_mm512_loadu_si512(values + 32), limit);
  return _mm512_cmpge_epu16_mask(_mm512_loadu_si512(values), limit) | high << 32;
}

// A row in half a superblock: the masks of 64 documents at a time, and the starts of their weights.
struct alignas(64) Half {
  uint64_t masks[4];
  const uint8_t* weights[4];
};
constexpr size_t kHalf = kChunk * kBlock;  // documents
constexpr size_t kWord = 64;               // documents a mask
constexpr size_t kWordBlocks = kWord / kBlock;
constexpr size_t kRowsAtOnce = 32;  // whose halves stay in the first-level cache

inline void open_half(const Run& run, size_t chunk, unsigned planes, Half& half) {
  const uint32_t bitmap = chunk_bitmap(run, chunk);
  const uint8_t* masks = chunk_at(run, chunk, planes);
  // The masks of 32 blocks, spread by the bitmap, are those of 256 documents.
  _mm256_store_si256(reinterpret_cast<__m256i*>(half.masks),
                     _mm256_maskz_expand_epi8(
                         bitmap, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(masks))));
  const uint8_t* weights = masks + ones(bitmap);
  for (size_t word = 0; word < 4; ++word) {
    half.weights[word] = weights;
    weights += ones(half.masks[word]);
  }
}

// The weights of 64 documents as bytes, zero where there is none.
inline __m512i weights_of(const Half& half, size_t word) {
  return _mm512_maskz_expand_epi8(half.masks[word], _mm512_loadu_si512(half.weights[word]));
}

// The lane of a document's sum: lane 4 a + b of register i of a word of 64 documents is
// number 16 a + 8 (i % 2) + 2 b + i / 2.  This order results from the cheapest way to bring the
// weights of four rows side by side.
inline size_t lane_of(uint32_t document) {
  return (document & ~63u) | (document & 1) << 5 | (document & 8) << 1 | (document >> 2 & 12) |
         (document >> 1 & 3);
}

// Adds the products of the rows of `halves`, four at a time, to the sums of a word.
inline void add_word(const Half* halves, const Quad* quads, size_t count, size_t word,
                     uint32_t* sums) {
  const __mmask64 odd = 0xAAAAAAAAAAAAAAAAu;
  __m512i low[4], high[4];
  for (int i = 0; i < 4; ++i) {
    low[i] = _mm512_load_si512(sums + 16 * i);
    high[i] = _mm512_setzero_si512();
  }
  for (const Quad* end = quads + count; quads < end; ++quads, halves += 4) {
    const __m512i a = weights_of(halves[0], word), b = weights_of(halves[1], word);
    const __m512i c = weights_of(halves[2], word), d = weights_of(halves[3], word);
    // Shifts and blends, although unpacking would do: the unit that unpacks also expands the
    // weights, and is the busiest.
    const __m512i ab[2] = {_mm512_mask_blend_epi8(odd, a, _mm512_slli_epi16(b, 8)),
                           _mm512_mask_blend_epi8(odd, _mm512_srli_epi16(a, 8), b)};
    const __m512i cd[2] = {_mm512_mask_blend_epi8(odd, c, _mm512_slli_epi16(d, 8)),
                           _mm512_mask_blend_epi8(odd, _mm512_srli_epi16(c, 8), d)};
    const __m512i documents[4] = {
        _mm512_unpacklo_epi16(ab[0], cd[0]), _mm512_unpackhi_epi16(ab[0], cd[0]),
        _mm512_unpacklo_epi16(ab[1], cd[1]), _mm512_unpackhi_epi16(ab[1], cd[1])};
    const __m512i q_low = _mm512_set1_epi32(static_cast<int>(quads->low));
    const __m512i q_high = _mm512_set1_epi32(static_cast<int>(quads->high));
    for (int i = 0; i < 4; ++i) {
      low[i] = _mm512_dpbusd_epi32(low[i], documents[i], q_low);
      high[i] = _mm512_dpbusd_epi32(high[i], documents[i], q_high);
    }
  }
  for (int i = 0; i < 4; ++i)
    _mm512_store_si512(sums + 16 * i, _mm512_add_epi32(low[i], _mm512_slli_epi32(high[i], 7)));
}

// The words that hold wanted blocks, a bit each.
inline unsigned words_of(uint64_t wanted) {
  const __m128i bytes = _mm_cvtsi64_si128(static_cast<long long>(wanted));
  return ~static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128())));
}

// Adds rows [first, first + rows) to the words that have wanted blocks.
void add_rows(const Superblock& superblock, size_t first, size_t rows, uint32_t* sums) {
  Half halves[kRowsAtOnce];
  for (size_t row = rows; row % 4 != 0; ++row)
    halves[row] = {{}, {kNoPostings, kNoPostings, kNoPostings, kNoPostings}};
  for (size_t half = 0; half < 2; ++half) {
    unsigned left = words_of(superblock.wanted) >> (4 * half) & 15;
    if (left == 0) continue;
    for (size_t row = 0; row < rows; ++row) {
      open_half(superblock.runs[first + row], 2 * superblock.index + half, 1, halves[row]);
      prefetch(halves[row].weights[3] + 64);
    }
    for (; left != 0; left &= left - 1) {
      const auto word = static_cast<size_t>(__builtin_ctz(left));
      add_word(halves, superblock.quads + first / 4, (rows + 3) / 4, word,
               sums + (4 * half + word) * kWord);
    }
  }
}

// Writes the documents of the wanted blocks that reach the least score; returns how many.
size_t collect(const Superblock& superblock, const uint32_t* sums, uint32_t* documents,
               uint32_t* scores) {
  const __m512i least = _mm512_set1_epi32(static_cast<int>(superblock.least));
  const __m512i lane =
      _mm512_setr_epi32(0, 2, 4, 6, 16, 18, 20, 22, 32, 34, 36, 38, 48, 50, 52, 54);
  size_t count = 0;
  for (unsigned left = words_of(superblock.wanted) & 255; left != 0; left &= left - 1) {
    const auto word = static_cast<size_t>(__builtin_ctz(left));
    __m512i lanes[4];
    for (size_t i = 0; i < 4; ++i) lanes[i] = _mm512_load_si512(sums + word * kWord + 16 * i);
    const __m512i most = _mm512_max_epi32(_mm512_max_epi32(lanes[0], lanes[1]),
                                          _mm512_max_epi32(lanes[2], lanes[3]));
    if (_mm512_cmpge_epi32_mask(most, least) == 0) continue;
    const auto wanted = static_cast<unsigned>(superblock.wanted >> (word * kWordBlocks) & 255);
    for (unsigned i = 0; i < 4; ++i) {
      // Four documents of every second block.
      const unsigned blocks = _pext_u32(wanted, i % 2 == 0 ? 0x55 : 0xAA);
      const __mmask16 mask = _mm512_mask_cmpge_epi32_mask(
          static_cast<__mmask16>(_pdep_u32(blocks, 0x1111) * 15), lanes[i], least);
      const size_t first =
          superblock.index * kSuperblockDocuments + word * kWord + i % 2 * 8 + i / 2;
      const __m512i all = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(first)));
      _mm512_storeu_si512(documents + count, _mm512_maskz_compress_epi32(mask, all));
      _mm512_storeu_si512(scores + count, _mm512_maskz_compress_epi32(mask, lanes[i]));
      count += ones(mask);
    }
  }
  return count;
}

size_t score(const Superblock& superblock, uint32_t* documents, uint32_t* scores) {
  // Dot products are of bytes.
  if (superblock.planes == 2) return score_blocks(superblock, documents, scores);
  alignas(64) uint32_t sums[kSuperblockDocuments];
  for (size_t i = 0; i < kSuperblockDocuments; i += 16) {
    __asm__("");  // keeps the compiler from calling memset, which takes longer to start
    _mm512_store_si512(sums + i, _mm512_setzero_si512());
  }
  for (size_t i = 0; i < superblock.product_count; ++i)
    sums[lane_of(superblock.products[i].document)] += superblock.products[i].product;
  for (size_t first = 0; first < superblock.rows; first += kRowsAtOnce) {
    const size_t left = superblock.rows - first;
    add_rows(superblock, first, left < kRowsAtOnce ? left : kRowsAtOnce, sums);
  }
  return collect(superblock, sums, documents, scores);
}

// Hits are in order of documents, so those of half a superblock follow each other.
void ranks(const Run& run, const uint32_t* documents, size_t count, unsigned planes,
           uint32_t* ranks) {
  Half half;
  size_t opened = SIZE_MAX;
  for (size_t i = 0; i < count; ++i) {
    const size_t chunk = documents[i] / kHalf, word = documents[i] % kHalf / kWord;
    if (chunk != opened) open_half(run, opened = chunk, planes, half);
    const unsigned bit = documents[i] % kWord;
    const size_t before = ones(_bzhi_u64(half.masks[word], bit));
    const auto rank =
        static_cast<uint32_t>(static_cast<size_t>(half.weights[word] - half.weights[0]) + before);
    ranks[i] = half.masks[word] >> bit & 1 ? rank : kNoRank;
  }
}

void add_bitmap(const List& list, uint32_t weight, uint32_t count, uint32_t* sums) {
  const __m512i weights = _mm512_set1_epi32(static_cast<int>(weight));
  for (uint32_t first = 0; first < count; first += 64) {
    const uint64_t word = bits_at(list, first, count);
    for (uint32_t i = 0; i < 4; ++i) {
      uint32_t* at = sums + first + 16 * i;
      const __m512i sum = _mm512_loadu_si512(at);
      _mm512_storeu_si512(
          at, _mm512_mask_add_epi32(sum, static_cast<__mmask16>(word >> (16 * i)), sum, weights));
    }
  }
}

size_t reach(const uint32_t* sums, uint32_t least, uint32_t first, uint32_t* documents,
             uint32_t* scores) {
  const __m512i limit = _mm512_set1_epi32(static_cast<int>(least));
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  size_t count = 0;
  for (uint32_t d = 0; d < kSuperblockDocuments; d += 64) {
    // Few documents reach the threshold, so four registers are tested together.
    __m512i values[4];
    for (uint32_t i = 0; i < 4; ++i) values[i] = _mm512_loadu_si512(sums + d + 16 * i);
    const __m512i most = _mm512_max_epi32(_mm512_max_epi32(values[0], values[1]),
                                          _mm512_max_epi32(values[2], values[3]));
    if (_mm512_cmpge_epi32_mask(most, limit) == 0) continue;
    for (uint32_t i = 0; i < 4; ++i) {
      const __mmask16 mask = _mm512_cmpge_epi32_mask(values[i], limit);
      const __m512i all =
          _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(first + d + 16 * i)));
      _mm512_storeu_si512(documents + count, _mm512_maskz_compress_epi32(mask, all));
      _mm512_storeu_si512(scores + count, _mm512_maskz_compress_epi32(mask, values[i]));
      count += ones(mask);
    }
  }
  return count;
}

}  // namespace

const Loops kAvx512Loops = {bound, at_least, score, ranks, add_lists, add_bitmap, reach};

}  // namespace lsr::index
