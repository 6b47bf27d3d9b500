// AVX-512 loops (F, BW, VL, DQ, VNNI, VBMI2), with POPCNT and BMI2.
#include "lists.h"
#include "loops_x86.h"

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

// Adds one row's values of 64 blocks to the sums of the even and the odd blocks.
inline void add_codes(const uint8_t* codes, __m512i table, __m512i& even, __m512i& odd) {
  const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
  const __m512i nibbles = _mm512_and_si512(
      _mm512_inserti64x4(_mm512_castsi256_si512(pairs), _mm256_srli_epi16(pairs, 4), 1),
      _mm512_set1_epi8(15));
  const __m512i values = _mm512_shuffle_epi8(table, nibbles);
  even = _mm512_add_epi16(even, _mm512_and_si512(values, _mm512_set1_epi16(255)));
  odd = _mm512_add_epi16(odd, _mm512_srli_epi16(values, 8));
}

// Adds the values of two rows to the sums of even and odd blocks, two registers a superblock.  The
// hardware prefetches no two streams a row, so this prefetches those of the next rows, `soon`.
void add_two(const Run* two, const uint8_t* tables, size_t superblocks, const Run* soon,
             __m512i* sums) {
  __m512i table[2];
  for (size_t i = 0; i < 2; ++i)
    table[i] = _mm512_broadcast_i32x4(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(tables + i * kCodes)));
  for (size_t superblock = 0; superblock < superblocks; ++superblock) {
    const size_t at = superblock * kSuperblockCodes;
    if (superblock % 2 == 0)
      for (size_t i = 0; i < 2; ++i)
        _mm_prefetch(reinterpret_cast<const char*>(soon[i].codes + at), _MM_HINT_T0);
    // The addresses of the chunks are used when blocks are scored.
    if (superblock % 32 == 0)
      for (size_t i = 0; i < 2; ++i)
        _mm_prefetch(reinterpret_cast<const char*>(soon[i].chunks + superblock), _MM_HINT_T1);
    __m512i even = sums[2 * superblock], odd = sums[2 * superblock + 1];
    for (size_t i = 0; i < 2; ++i) add_codes(two[i].codes + at, table[i], even, odd);
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

// A row in a superblock: the masks of 64 documents at a time, and the starts of their weights.
constexpr size_t kWord = 64;                             // documents a mask
constexpr size_t kWords = kSuperblockDocuments / kWord;  // masks
struct alignas(64) Words {
  uint64_t masks[kWords];
  const uint8_t* weights[kWords];
};

inline void open_words(const Run& run, size_t superblock, unsigned planes, Words& words) {
  const __m256i codes = _mm256_loadu_si256(
      reinterpret_cast<const __m256i*>(run.codes + superblock * kSuperblockCodes));
  const uint64_t high = _mm256_test_epi8_mask(codes, _mm256_set1_epi8(-16));
  const uint64_t blocks = _mm256_test_epi8_mask(codes, _mm256_set1_epi8(15)) | high << 32;
  const uint8_t* masks = chunk_at(run, superblock, planes);
  // The masks of 64 blocks, spread by which are there, are those of 512 documents.
  const __m512i spread = _mm512_maskz_expand_epi8(blocks, _mm512_loadu_si512(masks));
  _mm512_store_si512(words.masks, spread);
  // The postings before each word: sums over the words before, which take three steps to add up.
  __m512i sums = _mm512_popcnt_epi64(spread);
  const __m512i zero = _mm512_setzero_si512();
  const __m512i before = _mm512_alignr_epi64(sums, zero, 7);
  sums = _mm512_add_epi64(before, _mm512_alignr_epi64(before, zero, 7));
  sums = _mm512_add_epi64(sums, _mm512_alignr_epi64(sums, zero, 6));
  sums = _mm512_add_epi64(sums, _mm512_alignr_epi64(sums, zero, 4));
  const uint8_t* weights = masks + ones(blocks);
  _mm512_store_si512(
      words.weights,
      _mm512_add_epi64(sums, _mm512_set1_epi64(reinterpret_cast<long long>(weights))));
}

// The weights of 64 documents as bytes, zero where there is none.
inline __m512i weights_of(const Words& chunk, size_t word) {
  return _mm512_maskz_expand_epi8(chunk.masks[word], _mm512_loadu_si512(chunk.weights[word]));
}

// Adds four registers to the sums of 64 documents.  Lane 4 a + b of register i is of document
// 16 a + 8 (i % 2) + 2 b + i / 2: this order results from the cheapest way to bring the weights of
// four rows side by side.
inline void add_sums(const __m512i* lanes, uint32_t* sums) {
  const __m512i fours[4] = {
      _mm512_unpacklo_epi32(lanes[0], lanes[2]), _mm512_unpackhi_epi32(lanes[0], lanes[2]),
      _mm512_unpacklo_epi32(lanes[1], lanes[3]), _mm512_unpackhi_epi32(lanes[1], lanes[3])};
  // Documents 16 a + 4 i + … are now lane group a of register i: transpose the groups.
  const __m512i a = _mm512_shuffle_i32x4(fours[0], fours[1], 0x44);
  const __m512i b = _mm512_shuffle_i32x4(fours[0], fours[1], 0xEE);
  const __m512i c = _mm512_shuffle_i32x4(fours[2], fours[3], 0x44);
  const __m512i d = _mm512_shuffle_i32x4(fours[2], fours[3], 0xEE);
  const __m512i ordered[4] = {_mm512_shuffle_i32x4(a, c, 0x88), _mm512_shuffle_i32x4(a, c, 0xDD),
                              _mm512_shuffle_i32x4(b, d, 0x88), _mm512_shuffle_i32x4(b, d, 0xDD)};
  for (int i = 0; i < 4; ++i)
    _mm512_storeu_si512(sums + 16 * i,
                        _mm512_add_epi32(_mm512_loadu_si512(sums + 16 * i), ordered[i]));
}

// Adds the products of the rows of `chunks`, four at a time, to the sums of a word.
inline void add_word(const Words* chunks, const Quad* quads, size_t count, size_t word,
                     uint32_t* sums) {
  const __mmask64 odd = 0xAAAAAAAAAAAAAAAAu;
  __m512i low[4], high[4];
  for (int i = 0; i < 4; ++i) low[i] = high[i] = _mm512_setzero_si512();
  for (const Quad* end = quads + count; quads < end; ++quads, chunks += 4) {
    const __m512i a = weights_of(chunks[0], word), b = weights_of(chunks[1], word);
    const __m512i c = weights_of(chunks[2], word), d = weights_of(chunks[3], word);
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
  for (int i = 0; i < 4; ++i) low[i] = _mm512_add_epi32(low[i], _mm512_slli_epi32(high[i], 7));
  add_sums(low, sums);
}

// The words that hold wanted blocks, a bit each.
inline unsigned words_of(uint64_t wanted) {
  const __m128i bytes = _mm_cvtsi64_si128(static_cast<long long>(wanted));
  return ~static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128()))) &
         255;
}

// Adds rows [first, first + count) to the words of a superblock that have wanted blocks.
void add_some(const Rows& rows, size_t first, size_t count, size_t superblock, uint64_t wanted,
              uint32_t* sums) {
  Words chunks[kRowsAtOnce];
  for (size_t row = count; row % 4 != 0; ++row)
    for (size_t word = 0; word < kWords; ++word) {
      chunks[row].masks[word] = 0;
      chunks[row].weights[word] = kNoPostings;
    }
  for (size_t row = 0; row < count; ++row)
    open_words(rows.runs[first + row], superblock, 1, chunks[row]);
  for (unsigned left = words_of(wanted); left != 0; left &= left - 1) {
    const auto word = static_cast<size_t>(__builtin_ctz(left));
    add_word(chunks, rows.quads + first / 4, (count + 3) / 4, word, sums + word * kWord);
  }
}

void add(const Rows& rows, size_t first, size_t count, const uint64_t* wanted, uint32_t* sums) {
  // Dot products are of bytes.
  if (rows.planes == 2) return add_by_blocks(rows, first, count, wanted, sums);
  for (size_t i = 0; i < count; ++i)
    for (size_t row = 0; row < rows.count && wanted[i] != 0; row += kRowsAtOnce) {
      const size_t left = rows.count - row;
      add_some(rows, row, left < kRowsAtOnce ? left : kRowsAtOnce, first + i, wanted[i],
               sums + i * kSuperblockDocuments);
    }
}

// Hits are in order of documents, so those of a superblock follow each other.
void ranks(const Run& run, const uint32_t* documents, size_t count, unsigned planes,
           uint32_t* ranks) {
  Words chunk;
  size_t opened = SIZE_MAX;
  for (size_t i = 0; i < count; ++i) {
    const size_t superblock = documents[i] / kSuperblockDocuments;
    const size_t word = documents[i] % kSuperblockDocuments / kWord;
    if (superblock != opened) open_words(run, opened = superblock, planes, chunk);
    const unsigned bit = documents[i] % kWord;
    const size_t before = ones(_bzhi_u64(chunk.masks[word], bit));
    const auto rank =
        static_cast<uint32_t>(static_cast<size_t>(chunk.weights[word] - chunk.weights[0]) + before);
    ranks[i] = chunk.masks[word] >> bit & 1 ? rank : kNoRank;
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

const Loops kAvx512Loops = {bound,     block_bounds, at_least, add, add_slices,      ranks,
                            add_lists, add_bitmap,   reach,    1,   {1.0 / 64, 2000}};

}  // namespace lsr::index
