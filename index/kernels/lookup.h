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

// Which blocks of a superblock have postings, a bit each.
inline uint64_t blocks_of(const Run& run, size_t superblock) {
  const uint8_t* codes = run.codes + superblock * kSuperblockCodes;
  uint64_t blocks = 0;
  for (size_t i = 0; i < kSuperblockCodes; ++i)
    blocks |= uint64_t{(codes[i] & 15) != 0} << i | uint64_t{codes[i] > 15} << (i + 32);
  return blocks;
}

// The posting of a document (counted from the partition's first) in a run.
struct ChunkPosting {
  const uint8_t* weight;  // its low byte, or null when there is no posting
  size_t plane;           // distance to its high byte, where weights have one
  size_t rank;            // among the postings of its chunk
};

inline ChunkPosting find_in_chunk(const Run& run, uint32_t document, unsigned planes) {
  const size_t superblock = document / kSuperblockDocuments;
  const size_t block = document / kBlock % kSuperblock;
  const uint64_t blocks = blocks_of(run, superblock);
  if (!(blocks >> block & 1)) return {nullptr, 0, 0};
  const uint8_t* masks = chunk_at(run, superblock, planes);
  const size_t count = count_ones(blocks);
  const size_t earlier = count_ones(blocks & ((uint64_t{1} << block) - 1));
  const unsigned mask = masks[earlier], bit = document % kBlock;
  if (!(mask >> bit & 1)) return {nullptr, 0, 0};
  const size_t rank = count_ones(masks, earlier) + count_ones(mask & ((1u << bit) - 1));
  return {masks + count + rank, planes == 2 ? count_ones(masks, count) : 0, rank};
}

// The ranks of documents among the postings of their chunks; kNoRank where there is none.
inline void find_ranks(const Run& run, const uint32_t* documents, size_t count, unsigned planes,
                       uint32_t* ranks) {
  for (size_t i = 0; i < count; ++i)
    __builtin_prefetch(chunk_at(run, documents[i] / kSuperblockDocuments, planes));
  for (size_t i = 0; i < count; ++i) {
    const ChunkPosting posting = find_in_chunk(run, documents[i], planes);
    ranks[i] = posting.weight == nullptr ? kNoRank : static_cast<uint32_t>(posting.rank);
  }
}

}  // namespace
}  // namespace lsr::index
