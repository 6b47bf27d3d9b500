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
constexpr size_t kSuperblock = 64;  // blocks a superblock
constexpr size_t kSuperblockDocuments = kSuperblock * kBlock;
constexpr size_t kCodes = 16;                         // entries of a codebook
constexpr size_t kSuperblockCodes = kSuperblock / 2;  // bytes

// Bytes that follow the last chunk of a partition, so that no load needs its own limit: a chunk is
// at most 64 masks and two planes of 512 weights long, and a load 64.
constexpr size_t kPayloadPadding = 1152;

// A dense term's postings in a partition (see lsr.index.format).
struct Run {
  const uint8_t* codes;    // of the blocks' maxima, 4 bits each; 0 where there is no posting
  const uint16_t* chunks;  // where a superblock's postings start in `payload`, in weight sizes
  const uint8_t* payload;
  uint32_t last;  // no sound chunk starts further on
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

// Query weights have 14 bits, and dot products of bytes take 7 of them at a time, from four rows.
struct Quad {
  uint32_t low, high;  // a byte a row
};

// Some postings of a sparse term.  Loads may reach kSlicePadding values beyond them.
struct Slice {
  const uint16_t* documents;
  const void* weights;  // of one or two bytes
  uint32_t size, factor;
};
constexpr size_t kSlicePadding = 16;

// The dense terms of a query in a partition.
struct Rows {
  const Run* runs;
  const int16_t* factors;  // query weights by row
  const Quad* quads;       // the same, by four rows
  size_t count;
  unsigned planes;  // bytes a weight
};

// Where a scan takes less time than pruning: for hits that are more than `share` of the documents,
// and where that share times the fourth power of the number of query terms is more than `fourth`.
// Measured with AVX2, whose limits the scalar and the NEON set take unmeasured, and with AVX-512:
// see docs/studies.md.
struct ScanCosts {
  double share, fourth;
};

struct Loops {
  // For each block b: bounds[b] += the sum of tables[row][code of b] over all rows.
  // superblock_maxima[superblock] = its largest bound.  `tables` has kCodes bytes a row, and as
  // many behind the last: sets may take rows by twos.  The first of each kCodes, where there is no
  // posting, is zero.
  void (*bound)(const Run* runs, const uint8_t* tables, size_t rows, size_t superblocks,
                uint16_t* bounds, uint16_t* superblock_maxima);
  // For some postings of a sparse term: their blocks, and in total for each block at least
  // weight * scale / 2^16, of its largest weight.  `follows`: there is a posting before the first.
  void (*block_bounds)(const uint16_t* documents, const uint8_t* weights, size_t count,
                       bool follows, uint32_t scale, uint16_t* blocks, uint16_t* values);
  // Bit i tells whether values[i] >= least, for 64 values.
  uint64_t (*at_least)(const uint16_t* values, uint16_t least);
  // Adds the products of query weights with the weights of documents to the sums of `count`
  // superblocks from `first` on.  Bit b of wanted[i] tells that block b of superblock first + i
  // must be complete; the sums of other blocks may miss some products.
  void (*add)(const Rows& rows, size_t first, size_t count, const uint64_t* wanted, uint32_t* sums);
  // Adds the products of sparse terms' postings, of documents of one superblock, to its sums.
  void (*add_slices)(const Slice* slices, size_t count, unsigned planes, uint32_t* sums);
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
  // `least`, which is below 2^31, and their sums, in ascending order; returns how many.  Both have
  // room for kCandidateRoom values.
  size_t (*reach)(const uint32_t* sums, uint32_t least, uint32_t first, uint32_t* documents,
                  uint32_t* scores);
  // Superblocks that `add` takes fastest at a time, where most of a partition is wanted.
  size_t together;
  ScanCosts costs;
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

inline const uint8_t* chunk_at(const Run& run, size_t superblock, unsigned planes) {
  const uint32_t start = run.chunks[superblock] * planes;
  return run.payload + (start < run.last ? start : run.last);
}

template <class Weight>
inline void add_slice(const Slice& slice, uint32_t* sums) {
  const auto* weights = static_cast<const Weight*>(slice.weights);
  for (size_t i = 0; i < slice.size; ++i)
    sums[slice.documents[i] % kSuperblockDocuments] += slice.factor * weights[i];
}

// The scale of `block_bounds` in 2^8ths, rounded up.  A product with it and 1 is at least the
// bound.
inline uint32_t coarse(uint32_t scale) { return (scale + 255) >> 8; }

// Within a block, a posting's value is what exceeds the posting before: their sum is at least the
// largest, and at most four times as much.
template <class Weight>
inline void block_bounds_of(const uint16_t* documents, const Weight* weights, size_t count,
                            bool follows, uint32_t scale, uint16_t* blocks, uint16_t* values) {
  uint32_t last = follows ? documents[-1] / kBlock : UINT32_MAX;
  uint32_t before = follows ? (weights[-1] * coarse(scale) >> 8) + 1 : 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t block = documents[i] / kBlock;
    const uint32_t value = (weights[i] * coarse(scale) >> 8) + 1;
    const uint32_t excess = value > before ? value - before : 0;
    blocks[i] = static_cast<uint16_t>(block);
    values[i] = static_cast<uint16_t>(block == last ? excess : value);
    last = block;
    before = value;
  }
}

}  // namespace
}  // namespace lsr::index
