// Shared by the AVX2 and AVX-512 sets; compiled into each with its own flags.
//
// Eight documents of a block are a mask and as many weights as it has ones.  A byte shuffle from a
// table spreads the weights to a lane a document: PDEP, which would do without a table, takes some
// 20 times as long on AMD's processors before Zen 3.
#pragma once

#include <immintrin.h>

#include "lookup.h"

namespace lsr::index {
namespace {

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

// The blocks of a superblock that have postings, a bit each: those with a code above zero.
inline uint64_t present(const Run& run, size_t superblock) {
  const __m256i codes = _mm256_loadu_si256(
      reinterpret_cast<const __m256i*>(run.codes + superblock * kSuperblockCodes));
  const __m256i zero = _mm256_setzero_si256();
  const __m256i low = _mm256_cmpeq_epi8(_mm256_and_si256(codes, _mm256_set1_epi8(15)), zero);
  const __m256i high = _mm256_cmpeq_epi8(_mm256_and_si256(codes, _mm256_set1_epi8(-16)), zero);
  const auto absent = static_cast<unsigned>(_mm256_movemask_epi8(low));
  const auto more = static_cast<unsigned>(_mm256_movemask_epi8(high));
  return ~(absent | static_cast<uint64_t>(more) << 32);
}

// Weights of a block's documents follow each other; a shuffle spreads them to 32-bit lanes.
struct alignas(32) Spreads {
  uint8_t lanes[256][32] = {};
  constexpr Spreads() {
    for (unsigned mask = 0; mask < 256; ++mask) {
      uint8_t next = 0;
      for (unsigned d = 0; d < kBlock; ++d) {
        for (unsigned byte = 0; byte < 4; ++byte) lanes[mask][4 * d + byte] = 0x80;  // zero
        if (mask >> d & 1) lanes[mask][4 * d] = next++;
      }
    }
  }
};
constexpr Spreads kSpreads;

// The products of 8 documents: a multiply-add of pairs of which one half is zero is exact, for the
// weights' bytes and the query's 14 bits both fit 16.
inline __m256i products(const uint8_t* weights, __m256i spread, __m256i factors) {
  const __m256i bytes = _mm256_set1_epi64x(static_cast<long long>(load64(weights)));
  return _mm256_madd_epi16(_mm256_shuffle_epi8(bytes, spread), factors);
}

// Adds the products of a block.
template <unsigned planes>
inline void add_block(unsigned mask, const uint8_t* weights, size_t plane, __m256i factors,
                      uint32_t* sums) {
  const __m256i spread = _mm256_load_si256(reinterpret_cast<const __m256i*>(kSpreads.lanes[mask]));
  auto* at = reinterpret_cast<__m256i*>(sums);
  __m256i sum = _mm256_add_epi32(_mm256_loadu_si256(at), products(weights, spread, factors));
  if (planes == 2)
    sum = _mm256_add_epi32(sum, _mm256_slli_epi32(products(weights + plane, spread, factors), 8));
  _mm256_storeu_si256(at, sum);
}

// Adds a row's products to the sums of a superblock.
template <unsigned planes>
inline void add_row(const Run& run, size_t superblock, __m256i factors, uint32_t* sums) {
  const uint64_t blocks = present(run, superblock);
  const uint8_t* masks = chunk_at(run, superblock, planes);
  const size_t count = ones(blocks);
  const uint8_t* weights = masks + count;
  const size_t plane = planes == 2 ? ones(masks, count) : 0;
  for (uint64_t left = blocks; left != 0; left = _blsr_u64(left)) {
    const unsigned mask = *masks++;
    add_block<planes>(mask, weights, plane, factors, sums + _tzcnt_u64(left) * kBlock);
    weights += ones(mask);
  }
}

// A row in a superblock, ready for the lookup of blocks.
struct Chunk {
  uint64_t blocks;
  const uint8_t *masks, *weights;
  uint32_t earlier[kSuperblock / 8];  // weights before each 8 masks
  size_t plane;
  int32_t factor;
};
constexpr size_t kRowsAtOnce = 32;  // whose chunks stay in the first-level cache

inline void open_chunk(const Rows& rows, size_t row, size_t superblock, Chunk& chunk) {
  const Run& run = rows.runs[row];
  chunk.blocks = present(run, superblock);
  chunk.masks = chunk_at(run, superblock, rows.planes);
  const size_t count = ones(chunk.blocks);
  chunk.weights = chunk.masks + count;
  uint32_t sum = 0;
  for (size_t i = 0; i < kSuperblock / 8; ++i) {
    chunk.earlier[i] = sum;
    sum += static_cast<uint32_t>(ones(load64(chunk.masks + 8 * i)));
  }
  chunk.plane = rows.planes == 2 ? ones(chunk.masks, count) : 0;
  chunk.factor = rows.factors[row];
}

// Adds some rows' products to the sums of the wanted blocks.  There is no branch on whether a row
// has a block, which would be mispredicted every other time: without postings the mask is zero.
template <unsigned planes>
inline void add_wanted(const Rows& rows, size_t first, size_t count, size_t superblock,
                       uint64_t wanted, uint32_t* sums) {
  Chunk chunks[kRowsAtOnce];
  for (size_t row = 0; row < count; ++row) open_chunk(rows, first + row, superblock, chunks[row]);
  for (; wanted != 0; wanted = _blsr_u64(wanted)) {
    const auto block = static_cast<unsigned>(_tzcnt_u64(wanted));
    auto* at = reinterpret_cast<__m256i*>(sums + block * kBlock);
    __m256i sum = _mm256_loadu_si256(at);
    for (const Chunk* chunk = chunks; chunk < chunks + count; ++chunk) {
      const size_t before = ones(_bzhi_u64(chunk->blocks, block));
      const unsigned mask =
          chunk->masks[before] & (0u - static_cast<unsigned>(chunk->blocks >> block & 1));
      const uint64_t eight = load64(chunk->masks + (before & ~size_t{7}));
      const uint8_t* weights = chunk->weights + chunk->earlier[before / 8] +
                               ones(_bzhi_u64(eight, static_cast<unsigned>(before % 8 * 8)));
      const __m256i spread =
          _mm256_load_si256(reinterpret_cast<const __m256i*>(kSpreads.lanes[mask]));
      const __m256i factors = _mm256_set1_epi32(chunk->factor);
      sum = _mm256_add_epi32(sum, products(weights, spread, factors));
      if (planes == 2)
        sum = _mm256_add_epi32(
            sum, _mm256_slli_epi32(products(weights + chunk->plane, spread, factors), 8));
    }
    _mm256_storeu_si256(at, sum);
  }
}

// Where at least so many blocks of a superblock are wanted, it takes less time to add all.
constexpr size_t kManyBlocks = 24;

template <unsigned planes>
void add_rows(const Rows& rows, size_t first, size_t count, const uint64_t* wanted,
              uint32_t* sums) {
  for (size_t row = 0; row < rows.count; ++row) {
    const __m256i factors = _mm256_set1_epi32(rows.factors[row]);
    for (size_t i = 0; i < count; ++i)
      if (ones(wanted[i]) >= kManyBlocks)
        add_row<planes>(rows.runs[row], first + i, factors, sums + i * kSuperblockDocuments);
  }
  for (size_t i = 0; i < count; ++i)
    if (wanted[i] != 0 && ones(wanted[i]) < kManyBlocks)
      for (size_t row = 0; row < rows.count; row += kRowsAtOnce) {
        const size_t left = rows.count - row;
        add_wanted<planes>(rows, row, left < kRowsAtOnce ? left : kRowsAtOnce, first + i, wanted[i],
                           sums + i * kSuperblockDocuments);
      }
}

inline void add_by_blocks(const Rows& rows, size_t first, size_t count, const uint64_t* wanted,
                          uint32_t* sums) {
  if (rows.planes == 1)
    add_rows<1>(rows, first, count, wanted, sums);
  else
    add_rows<2>(rows, first, count, wanted, sums);
}

// Eight products of sparse postings.
inline __m256i sparse_products(const uint8_t* weights, __m256i factors) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(weights));
  return _mm256_madd_epi16(_mm256_cvtepu8_epi32(bytes), factors);
}
inline __m256i sparse_products(const uint16_t* weights, __m256i factors) {
  const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights));
  return _mm256_mullo_epi32(_mm256_cvtepu16_epi32(words), factors);
}

// Slices are a few postings long, too short for a loop whose end is predicted.  So whole vectors
// are copied, the next over what the last had too much, and then added in one loop.
template <class Weight>
void add_slices_of(const Slice* slices, size_t count, uint32_t* sums) {
  constexpr size_t kRoom = 1024;
  uint16_t documents[kRoom + kSlicePadding];
  uint32_t products[kRoom + kSlicePadding];
  size_t filled = 0;
  const auto add = [&] {
    for (size_t i = 0; i < filled; ++i) sums[documents[i] % kSuperblockDocuments] += products[i];
    filled = 0;
  };
  for (const Slice* slice = slices; slice < slices + count; ++slice) {
    const auto* weights = static_cast<const Weight*>(slice->weights);
    const __m256i factors = _mm256_set1_epi32(static_cast<int>(slice->factor));
    size_t at = 0;
    do {
      const __m256i sixteen =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(slice->documents + at));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(documents + filled), sixteen);
      for (size_t i = 0; i < 16; i += 8)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(products + filled + i),
                            sparse_products(weights + at + i, factors));
      const size_t left = slice->size - at;
      filled += left < 16 ? left : 16;
      at += 16;
      if (filled > kRoom) add();  // up to kRoom, a whole vector fits behind the last posting
    } while (at < slice->size);
  }
  add();
}

inline void add_slices(const Slice* slices, size_t count, unsigned planes, uint32_t* sums) {
  planes == 2 ? add_slices_of<uint16_t>(slices, count, sums)
              : add_slices_of<uint8_t>(slices, count, sums);
}

// Sixteen postings at a time.  A weight below 2^8 times 2^8 and a scale below 2^16 are unsigned 16
// bits; the upper half of their product is the weight's with the scale in 2^8ths.
inline void block_bounds(const uint16_t* documents, const uint8_t* weights, size_t count,
                         bool follows, uint32_t scale, uint16_t* blocks, uint16_t* values) {
  const __m256i factor = _mm256_set1_epi16(static_cast<short>(coarse(scale)));
  const auto blocks_at = [&](const uint16_t* at) {
    return _mm256_srli_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)), 3);
  };
  const auto values_at = [&](const uint8_t* at) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m256i wide = _mm256_slli_epi16(_mm256_cvtepu8_epi16(bytes), 8);
    return _mm256_add_epi16(_mm256_mulhi_epu16(wide, factor), _mm256_set1_epi16(1));
  };
  size_t i = 0;
  if (!follows && count != 0) {
    block_bounds_of(documents, weights, 1, false, scale, blocks, values);
    i = 1;
  }
  for (; i + 16 <= count; i += 16) {
    const __m256i block = blocks_at(documents + i), value = values_at(weights + i);
    const __m256i same = _mm256_cmpeq_epi16(block, blocks_at(documents + i - 1));
    const __m256i before = _mm256_and_si256(same, values_at(weights + i - 1));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(blocks + i), block);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + i), _mm256_subs_epu16(value, before));
  }
  block_bounds_of(documents + i, weights + i, count - i, i != 0 || follows, scale, blocks + i,
                  values + i);
}

}  // namespace
}  // namespace lsr::index
