// The inner loops of search, one set an instruction set, all giving the same integers.
//
// In scope: bounds of blocks, products of weights with a query, counts of coded lists.
// Out of scope: which blocks to visit, top-k, ties: search.cpp, compiled once.
//
// Sums are unsigned 32-bit, so a sum over damaged postings wraps instead of being undefined; on
// a sound index a query's scale keeps every sum below 2^31.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lsr::index {

constexpr size_t kBlock = 8;        // documents a block
constexpr size_t kChunk = 32;       // blocks a chunk of the payload
constexpr size_t kSuperblock = 64;  // blocks a superblock: the bits of a bitmap
constexpr size_t kSuperblockDocuments = kSuperblock * kBlock;
constexpr size_t kCodes = 16;  // entries of a codebook

// Bytes that follow the last chunk of a partition, so that no load needs its own limit: a chunk is
// at most 32 masks and two planes of 256 weights long, and a load 64.
constexpr size_t kPayloadPadding = 640;
// Bytes of maxima a superblock can take.
constexpr size_t kSuperblockMaxima = kSuperblock / 2;

// A dense term's postings in a partition (see lsr.index.format).
struct Run {
  const uint64_t* bitmaps;  // one a superblock: which blocks have postings
  const uint16_t* chunks;   // two a superblock: where they start in `payload`, in weight sizes
  const uint8_t* maxima;    // 4-bit codes of the blocks' maxima
  const uint8_t* payload;
  uint32_t last;   // no sound chunk starts further on
  uint32_t codes;  // bytes of maxima
};

// A term's postings in a partition of an index without weights: bytes of a coded list.
struct List {
  const uint8_t *begin, *end;
};
// Bytes that follow the last list of a partition.
constexpr size_t kListsPadding = 16;

// The run of a term that has no blocks.
extern const Run kNoRun;

// Superblocks of a partition, at most.
constexpr size_t kMostSuperblocks = 128;

constexpr uint32_t kNoRank = UINT32_MAX;

// The product of a sparse term and a document, counted from its superblock's first.
struct SparseProduct {
  uint32_t document, product;
};

// Query weights have 14 bits, and dot products of bytes take 7 of them at a time, from four rows.
struct Quad {
  uint32_t low, high;  // a byte a row
};

// A superblock of which some blocks are to be scored.
struct Superblock {
  const Run* runs;
  const int16_t* factors;  // query weights by row
  const Quad* quads;       // the same, by four rows
  size_t rows;
  size_t index;                   // in the partition
  unsigned planes;                // bytes a weight
  uint64_t wanted;                // bit b: block b is to be scored
  const SparseProduct* products;  // of sparse terms, in any order
  size_t product_count;
  uint32_t least;  // lower scores are not wanted; below 2^31
};

struct Loops {
  // For each block b: bounds[b] += the sum of tables[row][code of b] over all rows.
  // superblock_maxima[superblock] = its largest bound.  `tables` has kCodes bytes a row, and as
  // many behind the last: sets may take rows by twos.
  void (*bound)(const Run* runs, const uint8_t* tables, size_t rows, size_t superblocks,
                uint16_t* bounds, uint16_t* superblock_maxima);
  // Bit i tells whether values[i] >= least, for 64 values.
  uint64_t (*at_least)(const uint16_t* values, uint16_t least);
  // Adds up the products of query weights with the weights of the documents of the wanted blocks,
  // and of their sparse terms.  Writes the documents (counted from the partition's first) that
  // reach `least`, in any order, and their scores; returns how many.  Both have room for
  // kCandidateRoom values.
  size_t (*score)(const Superblock& superblock, uint32_t* documents, uint32_t* scores);
  // The ranks of documents of a partition, in ascending order, among the postings of their chunks,
  // or kNoRank.
  void (*ranks)(const Run& run, const uint32_t* documents, size_t count, unsigned planes,
                uint32_t* ranks);
  // Adds the weights of some lists, none of them a bitmap, to the sums of their documents, which
  // are below `count`.  Returns false when a list is damaged; sums are then of no use.
  bool (*add_lists)(const List* lists, const uint32_t* weights, size_t size, uint32_t count,
                    uint32_t* sums);
  // The same of one that is a bitmap, of a partition of so many documents.
  void (*add_bitmap)(const List& list, uint32_t weight, uint32_t count, uint32_t* sums);
  // Writes those of kSuperblockDocuments documents, the first of which is given, whose sums reach
  // `least`, and their sums; as `score`.
  size_t (*reach)(const uint32_t* sums, uint32_t least, uint32_t first, uint32_t* documents,
                  uint32_t* scores);
};

// Documents of a superblock, and 16 more, for stores that reach beyond the last.
constexpr size_t kCandidateRoom = kSuperblockDocuments + 16;

extern const Loops kScalarLoops;
#ifdef LSR_X86
extern const Loops kAvx2Loops;
extern const Loops kAvx512Loops;
#endif
#ifdef LSR_ARM
extern const Loops kNeonLoops;
#endif

// Stands for the chunk of a block without postings.
extern const uint8_t kNoPostings[kPayloadPadding];

// Shared by the sets; a unit that includes this compiles it for its own instruction set.
namespace {

inline const uint8_t* chunk_at(const Run& run, size_t chunk, unsigned planes) {
  const uint32_t start = run.chunks[chunk] * planes;
  return run.payload + (start < run.last ? start : run.last);
}

}  // namespace
}  // namespace lsr::index
