// Single postings of a dense term; compiled into each set of loops, and for single lookups.
#pragma once

#include "loops.h"

namespace lsr::index {
namespace {

inline size_t count_ones(uint64_t bits) { return static_cast<size_t>(__builtin_popcountll(bits)); }

inline size_t count_ones(const uint8_t* masks, size_t count) {
  uint64_t word = 0;
  size_t sum = 0;
  for (; count >= 8; count -= 8, masks += 8) {
    __builtin_memcpy(&word, masks, 8);
    sum += count_ones(word);
  }
  word = 0;
  for (size_t i = 0; i < count; ++i) word = word << 8 | masks[i];
  return sum + count_ones(word);
}

inline uint32_t chunk_bitmap(const Run& run, size_t chunk) {
  return static_cast<uint32_t>(run.bitmaps[chunk / 2] >> (chunk % 2 * kChunk));
}

// The posting of a document (counted from the partition's first) in a run.
struct ChunkPosting {
  const uint8_t* weight;  // its low byte, or null when there is no posting
  size_t plane;           // distance to its high byte, where weights have one
  size_t rank;            // among the postings of its chunk
};

inline ChunkPosting find_in_chunk(const Run& run, uint32_t document, unsigned planes) {
  const size_t chunk = document / (kChunk * kBlock), block = document / kBlock % kChunk;
  const uint32_t bitmap = chunk_bitmap(run, chunk);
  if (!(bitmap >> block & 1)) return {nullptr, 0, 0};
  const uint8_t* masks = chunk_at(run, chunk, planes);
  const size_t blocks = count_ones(bitmap);
  const size_t earlier = count_ones(bitmap & ((uint32_t{1} << block) - 1));
  const unsigned mask = masks[earlier], bit = document % kBlock;
  if (!(mask >> bit & 1)) return {nullptr, 0, 0};
  const size_t rank = count_ones(masks, earlier) + count_ones(mask & ((1u << bit) - 1));
  return {masks + blocks + rank, planes == 2 ? count_ones(masks, blocks) : 0, rank};
}

// The ranks of documents among the postings of their chunks; kNoRank where there is none.
inline void find_ranks(const Run& run, const uint32_t* documents, size_t count, unsigned planes,
                       uint32_t* ranks) {
  for (size_t i = 0; i < count; ++i)
    __builtin_prefetch(chunk_at(run, documents[i] / (kChunk * kBlock), planes));
  for (size_t i = 0; i < count; ++i) {
    const ChunkPosting posting = find_in_chunk(run, documents[i], planes);
    ranks[i] = posting.weight == nullptr ? kNoRank : static_cast<uint32_t>(posting.rank);
  }
}

}  // namespace
}  // namespace lsr::index
