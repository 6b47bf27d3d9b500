// Shared by the AVX2 and AVX-512 sets; compiled into each with its own flags.
//
// Eight documents of a block are a mask and as many weights as it has ones: PDEP spreads the
// weights to a byte a document.
#pragma once

#include <immintrin.h>

#include "lookup.h"

namespace lsr::index {
namespace {

// Bits to bytes: 0xFF for every one.
inline uint64_t spread(uint64_t bits) { return _pdep_u64(bits, 0x0101010101010101u) * 255; }

inline uint64_t load64(const uint8_t* bytes) {
  uint64_t word;
  __builtin_memcpy(&word, bytes, 8);
  return word;
}

inline size_t ones(uint64_t bits) { return static_cast<size_t>(_mm_popcnt_u64(bits)); }

// Asks for the two lines that hold the rest of a chunk and the next one: rows are more streams
// than the machine follows by itself, and superblocks that are visited have neighbours that are
// too.
inline void prefetch(const uint8_t* at) {
  _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0);
  _mm_prefetch(reinterpret_cast<const char*>(at + 64), _MM_HINT_T0);
}

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

// Adds a row's products to the sums of the wanted blocks of half a superblock.
template <unsigned planes>
void add_half(const Run& run, size_t chunk, uint32_t wanted, int factor, uint32_t* sums) {
  const uint32_t bitmap = chunk_bitmap(run, chunk);
  const uint8_t* masks = chunk_at(run, chunk, planes);
  prefetch(masks + 128);
  const size_t blocks = ones(bitmap);
  const uint8_t* weights = masks + blocks;
  const size_t plane = planes == 2 ? ones(masks, blocks) : 0;
  const __m256i factors = _mm256_set1_epi32(factor);
  size_t counted = 0;
  for (uint32_t left = bitmap & wanted; left != 0; left &= left - 1) {
    const auto block = static_cast<unsigned>(__builtin_ctz(left));
    const size_t before = ones(_bzhi_u32(bitmap, block));
    weights += ones(masks + counted, before - counted);
    counted = before;
    const uint64_t bytes = spread(masks[before]);
    __m256i* at = reinterpret_cast<__m256i*>(sums + block * kBlock);
    __m256i sum = _mm256_add_epi32(_mm256_loadu_si256(at),
                                   products(_pdep_u64(load64(weights), bytes), factors));
    if (planes == 2) {
      const uint64_t high = _pdep_u64(load64(weights + plane), bytes);
      sum = _mm256_add_epi32(sum, _mm256_slli_epi32(products(high, factors), 8));
    }
    _mm256_storeu_si256(at, sum);
  }
}

// Scores the wanted blocks of a superblock one by one.
inline size_t score_blocks(const Superblock& superblock, uint32_t* documents, uint32_t* scores) {
  uint32_t sums[kSuperblockDocuments] = {};
  for (size_t i = 0; i < superblock.product_count; ++i)
    sums[superblock.products[i].document] += superblock.products[i].product;
  for (size_t half = 0; half < 2; ++half) {
    const auto wanted = static_cast<uint32_t>(superblock.wanted >> (half * kChunk));
    if (wanted == 0) continue;
    const size_t chunk = 2 * superblock.index + half;
    uint32_t* at = sums + half * kChunk * kBlock;
    for (size_t row = 0; row < superblock.rows; ++row) {
      if (superblock.planes == 1)
        add_half<1>(superblock.runs[row], chunk, wanted, superblock.factors[row], at);
      else
        add_half<2>(superblock.runs[row], chunk, wanted, superblock.factors[row], at);
    }
  }
  const __m256i below = _mm256_set1_epi32(static_cast<int>(superblock.least) - 1);
  size_t count = 0;
  for (uint64_t left = superblock.wanted; left != 0; left &= left - 1) {
    const size_t first = static_cast<size_t>(__builtin_ctzll(left)) * kBlock;
    const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + first));
    auto reached = static_cast<unsigned>(
        _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(values, below))));
    for (; reached != 0; reached &= reached - 1, ++count) {
      const size_t d = first + static_cast<size_t>(__builtin_ctz(reached));
      documents[count] = static_cast<uint32_t>(superblock.index * kSuperblockDocuments + d);
      scores[count] = sums[d];
    }
  }
  return count;
}

}  // namespace
}  // namespace lsr::index
