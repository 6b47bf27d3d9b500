// AVX2 loops, with POPCNT and BMI2.
#include "lists.h"
#include "loops_bmi2.h"

namespace lsr::index {
namespace {

// The bytes of eight that get a code, and marks on the others: a lookup gives zero for a byte whose
// high bit is set.
struct Spread {
  uint64_t codes, absent;
};

struct SpreadTable {
  Spread bytes[256];
  SpreadTable() {
    for (uint64_t bits = 0; bits < 256; ++bits)
      bytes[bits] = {spread(bits) & 0x0F0F0F0F0F0F0F0Fu, ~spread(bits) & 0x8080808080808080u};
  }
};

constexpr size_t kSuperblocksAtOnce = 8;

// Spreads a row's codes of some superblocks, a byte a block; returns where the next ones start.
const uint8_t* spread_codes(const uint8_t* codes, const uint64_t* bitmaps, size_t superblocks,
                            const Spread* table, uint64_t* out) {
  for (size_t superblock = 0; superblock < superblocks; ++superblock) {
    uint64_t bitmap = bitmaps[superblock];
    size_t nibble = 0;
    for (size_t i = 0; i < 8; ++i, bitmap >>= 8) {
      const Spread& at = table[bitmap & 255];
      // A word from the byte of the first code has the 8 codes even from its middle.
      const uint64_t word = load64(codes + nibble / 2) >> (nibble % 2 * 4);
      *out++ = _pdep_u64(word, at.codes) | at.absent;
      nibble += ones(bitmap & 255);
    }
    codes += (nibble + 1) / 2;
  }
  return codes;
}

uint16_t largest(__m256i values) {
  const __m128i half =
      _mm_max_epu16(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
  // Only the minimum across lanes is an instruction, so take that of the complements.
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(half, _mm_set1_epi16(-1)));
  return static_cast<uint16_t>(~_mm_extract_epi16(least, 0));
}

void bound(const Run* runs, const uint8_t* tables, size_t rows, size_t superblocks,
           uint16_t* bounds, uint16_t* superblock_maxima) {
  static const SpreadTable spread_table;
  const __m256i low_bytes = _mm256_set1_epi16(255);
  // Sums of the even and the odd blocks of every 32, the halves that a byte lookup widens to.
  __m256i sums[kMostSuperblocks * 4];
  for (size_t i = 0; i < 4 * superblocks; ++i) sums[i] = _mm256_setzero_si256();
  for (size_t row = 0; row < rows; ++row) {
    const uint8_t* codes = runs[row].maxima;
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(tables + row * kCodes)));
    // Some superblocks at a time, so that stores have completed when wider loads read them.
    for (size_t first = 0; first < superblocks; first += kSuperblocksAtOnce) {
      const size_t count =
          superblocks - first < kSuperblocksAtOnce ? superblocks - first : kSuperblocksAtOnce;
      alignas(32) uint64_t spread[kSuperblocksAtOnce * 8];
      codes = spread_codes(codes, runs[row].bitmaps + first, count, spread_table.bytes, spread);
      for (size_t i = 0; i < 2 * count; ++i) {
        const __m256i values = _mm256_shuffle_epi8(
            table, _mm256_load_si256(reinterpret_cast<const __m256i*>(spread) + i));
        __m256i* at = sums + 4 * first + 2 * i;
        at[0] = _mm256_add_epi16(at[0], _mm256_and_si256(values, low_bytes));
        at[1] = _mm256_add_epi16(at[1], _mm256_srli_epi16(values, 8));
      }
    }
  }
  for (size_t superblock = 0; superblock < superblocks; ++superblock) {
    __m256i most = _mm256_setzero_si256();
    for (size_t i = 0; i < 2; ++i) {
      const __m256i even = sums[4 * superblock + 2 * i], odd = sums[4 * superblock + 2 * i + 1];
      const __m256i a = _mm256_unpacklo_epi16(even, odd), b = _mm256_unpackhi_epi16(even, odd);
      const __m256i ordered[2] = {_mm256_permute2x128_si256(a, b, 0x20),
                                  _mm256_permute2x128_si256(a, b, 0x31)};
      for (size_t j = 0; j < 2; ++j) {
        __m256i* at = reinterpret_cast<__m256i*>(bounds + superblock * kSuperblock) + 2 * i + j;
        const __m256i bound = _mm256_add_epi16(_mm256_loadu_si256(at), ordered[j]);
        _mm256_storeu_si256(at, bound);
        most = _mm256_max_epu16(most, bound);
      }
    }
    superblock_maxima[superblock] = largest(most);
  }
}

uint64_t at_least(const uint16_t* values, uint16_t least) {
  const __m256i limit = _mm256_set1_epi16(static_cast<short>(least));
  uint64_t reached = 0;
  for (int i = 0; i < 2; ++i) {
    const __m256i* at = reinterpret_cast<const __m256i*>(values) + 2 * i;
    // a >= b exactly when max(a, b) is a: there is no unsigned comparison.
    const __m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1);
    const __m256i low = _mm256_cmpeq_epi16(_mm256_max_epu16(a, limit), a);
    const __m256i high = _mm256_cmpeq_epi16(_mm256_max_epu16(b, limit), b);
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xD8);
    const auto mask = static_cast<unsigned>(_mm256_movemask_epi8(bytes));
    reached |= static_cast<uint64_t>(mask) << (32 * i);
  }
  return reached;
}

void add_bitmap(const List& list, uint32_t weight, uint32_t count, uint32_t* sums) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i weights = _mm256_set1_epi32(static_cast<int>(weight));
  for (uint32_t first = 0; first < count; first += 64) {
    const uint64_t word = bits_at(list, first, count);
    for (uint32_t i = 0; i < 8; ++i) {
      const __m256i byte = _mm256_set1_epi32(static_cast<int>(word >> (8 * i) & 255));
      const __m256i mask = _mm256_cmpeq_epi32(_mm256_and_si256(byte, bit), bit);
      __m256i* at = reinterpret_cast<__m256i*>(sums + first + 8 * i);
      _mm256_storeu_si256(
          at, _mm256_add_epi32(_mm256_loadu_si256(at), _mm256_and_si256(mask, weights)));
    }
  }
}

size_t reach(const uint32_t* sums, uint32_t least, uint32_t first, uint32_t* documents,
             uint32_t* scores) {
  const __m256i below = _mm256_set1_epi32(static_cast<int>(least) - 1);
  size_t count = 0;
  for (uint32_t d = 0; d < kSuperblockDocuments; d += 32) {
    // Few documents reach the threshold, so four registers are tested together.
    __m256i reached[4], any = _mm256_setzero_si256();
    for (uint32_t i = 0; i < 4; ++i) {
      reached[i] = _mm256_cmpgt_epi32(
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + d + 8 * i)), below);
      any = _mm256_or_si256(any, reached[i]);
    }
    if (_mm256_testz_si256(any, any)) continue;
    for (uint32_t i = 0; i < 4; ++i) {
      auto left = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(reached[i])));
      for (; left != 0; left &= left - 1, ++count) {
        const uint32_t at = d + 8 * i + static_cast<uint32_t>(__builtin_ctz(left));
        documents[count] = first + at;
        scores[count] = sums[at];
      }
    }
  }
  return count;
}

}  // namespace

const Loops kAvx2Loops = {bound, at_least, score_blocks, find_ranks, add_lists, add_bitmap, reach};

}  // namespace lsr::index
