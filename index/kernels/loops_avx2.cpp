// AVX2 loops, with POPCNT and BMI2.
#include "lists.h"
#include "loops_x86.h"

namespace lsr::index {
namespace {

uint16_t largest(__m256i values) {
  const __m128i half =
      _mm_max_epu16(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
  // Only the minimum across lanes is an instruction, so take that of the complements.
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(half, _mm_set1_epi16(-1)));
  return static_cast<uint16_t>(~_mm_extract_epi16(least, 0));
}

// Adds the values of some rows to the sums of even and of odd blocks, four registers a superblock.
template <size_t rows>
void add_codes(const Run* runs, const uint8_t* tables, size_t superblocks, const Run* soon,
               __m256i* sums) {
  const __m256i low_bytes = _mm256_set1_epi16(255), nibbles = _mm256_set1_epi8(15);
  __m256i table[rows];
  for (size_t row = 0; row < rows; ++row)
    table[row] = _mm256_broadcastsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(tables + row * kCodes)));
  for (size_t superblock = 0; superblock < superblocks; ++superblock, sums += 4) {
    __m256i sum[4] = {sums[0], sums[1], sums[2], sums[3]};
    if (superblock % 2 == 0)
      for (size_t row = 0; row < rows; ++row)
        _mm_prefetch(reinterpret_cast<const char*>(soon[row].codes + superblock * kSuperblockCodes),
                     _MM_HINT_T0);
    for (size_t row = 0; row < rows; ++row) {
      const __m256i codes = _mm256_loadu_si256(
          reinterpret_cast<const __m256i*>(runs[row].codes + superblock * kSuperblockCodes));
      const __m256i low = _mm256_shuffle_epi8(table[row], _mm256_and_si256(codes, nibbles));
      const __m256i high =
          _mm256_shuffle_epi8(table[row], _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibbles));
      sum[0] = _mm256_add_epi16(sum[0], _mm256_and_si256(low, low_bytes));
      sum[1] = _mm256_add_epi16(sum[1], _mm256_srli_epi16(low, 8));
      sum[2] = _mm256_add_epi16(sum[2], _mm256_and_si256(high, low_bytes));
      sum[3] = _mm256_add_epi16(sum[3], _mm256_srli_epi16(high, 8));
    }
    for (size_t i = 0; i < 4; ++i) sums[i] = sum[i];
  }
}

void bound(const Run* runs, const uint8_t* tables, size_t rows, size_t superblocks,
           uint16_t* bounds, uint16_t* superblock_maxima) {
  // Sums of the even and the odd blocks of every 32, the halves that a byte lookup widens to.
  __m256i sums[kMostSuperblocks * 4];
  for (size_t i = 0; i < 4 * superblocks; ++i) sums[i] = _mm256_setzero_si256();
  for (; rows >= 4; rows -= 4, runs += 4, tables += 4 * kCodes)
    add_codes<4>(runs, tables, superblocks, rows >= 8 ? runs + 4 : runs + (rows - 4), sums);
  for (; rows != 0; --rows, ++runs, tables += kCodes)
    add_codes<1>(runs, tables, superblocks, rows > 1 ? runs + 1 : runs, sums);
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

// The lanes of a mask's ones, a byte each, first.
struct Packs {
  uint64_t lanes[256] = {};
  constexpr Packs() {
    for (unsigned mask = 0; mask < 256; ++mask)
      for (unsigned lane = 0, next = 0; lane < 8; ++lane)
        if (mask >> lane & 1) lanes[mask] |= uint64_t{lane} << (8 * next++);
  }
};
constexpr Packs kPacks;

size_t reach(const uint32_t* sums, uint32_t least, uint32_t first, uint32_t* documents,
             uint32_t* scores) {
  const __m256i below = _mm256_set1_epi32(static_cast<int>(least) - 1);
  size_t count = 0;
  for (uint32_t d = 0; d < kSuperblockDocuments; d += 32) {
    // Few documents reach the threshold, so four registers are tested together.
    __m256i values[4], reached[4], any = _mm256_setzero_si256();
    for (uint32_t i = 0; i < 4; ++i) {
      values[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + d + 8 * i));
      reached[i] = _mm256_cmpgt_epi32(values[i], below);
      any = _mm256_or_si256(any, reached[i]);
    }
    if (_mm256_testz_si256(any, any)) continue;
    for (uint32_t i = 0; i < 4; ++i) {
      const auto mask = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(reached[i])));
      const __m256i lanes =
          _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(kPacks.lanes[mask])));
      const __m256i start = _mm256_set1_epi32(static_cast<int>(first + d + 8 * i));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(documents + count),
                          _mm256_add_epi32(start, lanes));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(scores + count),
                          _mm256_permutevar8x32_epi32(values[i], lanes));
      count += ones(mask);
    }
  }
  return count;
}

}  // namespace

const Loops kAvx2Loops = {bound,      block_bounds,     at_least,        add_by_blocks,
                          add_slices, find_ranks,       add_lists,       add_bitmap,
                          reach,      kMostSuperblocks, {1.0 / 256, 400}};

}  // namespace lsr::index
