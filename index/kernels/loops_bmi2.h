// What the AVX2 and AVX-512 sets share; compiled into each with its own flags.
//
// Eight documents of a block are a mask and as many weights as it has ones: PDEP spreads the
// weights to a byte a document.
#pragma once

#include <immintrin.h>

#include "lookup.h"

namespace lsr {
namespace {

// Bits to bytes: 0xFF for every one.
inline uint64_t spread(uint64_t bits) { return _pdep_u64(bits, 0x0101010101010101u) * 255; }

inline uint64_t load64(const uint8_t* bytes) {
  uint64_t word;
  __builtin_memcpy(&word, bytes, 8);
  return word;
}

inline size_t ones(uint64_t bits) { return static_cast<size_t>(_mm_popcnt_u64(bits)); }

// Ones in the first `count` masks.
inline size_t ones(const uint8_t* masks, size_t count) {
  size_t sum = 0;
  for (; count > 8; count -= 8, masks += 8) sum += ones(load64(masks));
  return sum + ones(_bzhi_u64(load64(masks), static_cast<unsigned>(8 * count)));
}

// Products of 8 weights, a byte each, and a query weight of 14 bits.  Both fit 16 bits, so a
// multiply-add of pairs of which one half is zero is an exact product.
inline __m256i products(uint64_t bytes, __m256i factor) {
  const __m256i weights = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(bytes)));
  return _mm256_madd_epi16(weights, factor);
}

template <unsigned planes>
void add_blocks(const Run* runs, size_t stride, const int16_t* factors, size_t rows,
                const Slot* slots, size_t count, uint32_t* sums) {
  for (size_t i = 0; i < count; ++i) {
    const Run* run = runs + slots[i].window * stride;
    const size_t record = slots[i].block / kRecord, block = slots[i].block % kRecord;
    __m256i* at = reinterpret_cast<__m256i*>(sums + i * kBlock);
    __m256i sum = _mm256_loadu_si256(at);
    for (size_t row = 0; row < rows; ++row, ++run) {
      const uint32_t bitmap = record_bitmap(*run, record);
      // No branch, which would be mispredicted half the time: an absent block is looked up among
      // zeros that are always at hand, so that it costs no cache miss either.
      const uint8_t* masks =
          bitmap >> block & 1 ? record_at(*run, record, planes) : kNoPostings;
      const size_t blocks = ones(bitmap);
      const size_t before = ones(_bzhi_u32(bitmap, static_cast<unsigned>(block)));
      const uint8_t* weights = masks + blocks + ones(masks, before);
      const uint64_t bytes = spread(masks[before]);
      const __m256i factor = _mm256_set1_epi32(factors[row]);
      sum = _mm256_add_epi32(sum, products(_pdep_u64(load64(weights), bytes), factor));
      if (planes == 2) {
        const uint64_t high = _pdep_u64(load64(weights + ones(masks, blocks)), bytes);
        sum = _mm256_add_epi32(sum, _mm256_slli_epi32(products(high, factor), 8));
      }
    }
    _mm256_storeu_si256(at, sum);
  }
}

inline void add_blocks(const Run* runs, size_t stride, const int16_t* factors, size_t rows,
                       const Slot* slots, size_t count, unsigned planes, uint32_t* sums) {
  if (planes == 1)
    add_blocks<1>(runs, stride, factors, rows, slots, count, sums);
  else
    add_blocks<2>(runs, stride, factors, rows, slots, count, sums);
}

// Asks for what a row will need two groups on: three streams a row are more than the machine
// follows by itself.
inline void prefetch_row(const Run& run, size_t group, size_t ahead, unsigned planes) {
  const char* next = reinterpret_cast<const char*>(record_at(run, 2 * ahead, planes));
  _mm_prefetch(next, _MM_HINT_T0);
  _mm_prefetch(next + 64, _MM_HINT_T0);
  if (group % 8 == 0)
    _mm_prefetch(reinterpret_cast<const char*>(run.bitmaps + group + 16), _MM_HINT_T0);
  if (group % 16 == 0)
    _mm_prefetch(reinterpret_cast<const char*>(run.records + 2 * group + 64), _MM_HINT_T0);
}

// Adds a row's products to the sums of a group, block by block.
template <unsigned planes>
void add_row(const Run& run, size_t group, int factor, uint32_t* sums) {
  const __m256i factors = _mm256_set1_epi32(factor);
  for (size_t half = 0; half < 2; ++half) {
    uint32_t bitmap = record_bitmap(run, 2 * group + half);
    const uint8_t* masks = record_at(run, 2 * group + half, planes);
    const size_t blocks = ones(bitmap);
    const uint8_t* weights = masks + blocks;
    const size_t plane = planes == 2 ? ones(masks, blocks) : 0;
    for (; bitmap != 0; bitmap &= bitmap - 1, ++masks) {
      const size_t block = half * kRecord + static_cast<size_t>(__builtin_ctz(bitmap));
      const uint64_t bytes = spread(*masks);
      __m256i* at = reinterpret_cast<__m256i*>(sums + block * kBlock);
      __m256i sum = _mm256_add_epi32(_mm256_loadu_si256(at),
                                     products(_pdep_u64(load64(weights), bytes), factors));
      if (planes == 2) {
        const uint64_t high = _pdep_u64(load64(weights + plane), bytes);
        sum = _mm256_add_epi32(sum, _mm256_slli_epi32(products(high, factors), 8));
      }
      _mm256_storeu_si256(at, sum);
      weights += ones(*masks);
    }
  }
}

inline void add_row(const Run& run, size_t group, int factor, unsigned planes, uint32_t* sums) {
  if (planes == 1)
    add_row<1>(run, group, factor, sums);
  else
    add_row<2>(run, group, factor, sums);
}

}  // namespace
}  // namespace lsr
