// The inner loops of search, one set an instruction set, all giving the same integers.
//
// In scope: bounds of blocks, products of weights with a query.
// Out of scope: which blocks to visit, top-k, ties: search.cpp, compiled once.
//
// Sums are unsigned 32-bit, so a sum over damaged postings wraps instead of being undefined; on
// a sound index a query's scale keeps every sum below 2^31.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lsr {

constexpr size_t kBlock = 8;                // documents a block
constexpr size_t kRecord = 32;              // blocks a record of the payload
constexpr size_t kGroup = 64;               // blocks a group: the bits of a bitmap
constexpr size_t kTile = kGroup * kBlock;   // documents of a group, bytes of a row of a tile
constexpr size_t kCodes = 16;               // entries of a codebook

// Bytes that follow the last record of a window, so that no load needs its own limit: a record is
// at most 32 masks and two planes of 256 weights long, and a load 64.
constexpr size_t kPayloadPadding = 640;
// Bytes of maxima a group can take.
constexpr size_t kGroupMaxima = kGroup / 2;

// A frequent term's postings in a window (see lsr.index.format).  A term that is not frequent
// there has a run of empty bitmaps, so that no loop asks.
struct Run {
  const uint64_t* bitmaps;  // one a group: which blocks have postings
  const uint16_t* records;  // two a group: where they start in `payload`, in weight sizes
  const uint8_t* maxima;    // 4-bit codes of the blocks' maxima
  const uint8_t* payload;
  uint32_t last;  // no sound record starts further on
};

constexpr uint32_t kNoRank = UINT32_MAX;

// A block to be scored.
struct Slot {
  uint32_t window;
  uint32_t block;  // of the window
};

// Rows are strongest first and scored in steps; `rests` are bounds of what the steps still to come
// can add to a block, 16 bits a block.
constexpr size_t kSplits = 2;
struct Splits {
  size_t at[kSplits];  // multiples of 4, unless there are no rows behind; ascending
  uint16_t* rests[kSplits];
};

struct Loops {
  // For each block b: bounds[b] += the sum of luts[row][code of b] over all rows, and
  // splits.rests[i][b] = the sum over rows >= splits.at[i].  peaks[group] = its largest bound.
  // `luts` has kCodes bytes a row; `codes` has room for a pointer a row.
  void (*bound)(const Run* runs, const uint8_t* luts, const uint8_t** codes, size_t rows,
                const Splits& splits, size_t groups, uint16_t* bounds, uint16_t* peaks);
  // Bit i tells whether values[i] >= least, for 64 values.
  uint64_t (*at_least)(const uint16_t* values, uint16_t least);
  // sums[d] += the products of factors[row], of 14 bits, with the weights of document d, over all
  // rows, for the documents of a group.  `tile` is working memory of kTile bytes a row, rows
  // rounded up to fours, aligned to 64.  The group `ahead` will soon be wanted.
  void (*add_group)(const Run* runs, const int16_t* factors, size_t rows, size_t group, size_t ahead,
                    unsigned planes, uint8_t* tile, uint32_t* sums);
  // The same for the documents of any blocks; a run is runs[slot.window * stride + row].
  void (*add_blocks)(const Run* runs, size_t stride, const int16_t* factors, size_t rows,
                     const Slot* slots, size_t count, unsigned planes, uint32_t* sums);
  // The ranks of documents of a window among the postings of their records, or kNoRank.
  void (*ranks)(const Run& run, const uint32_t* documents, size_t count, unsigned planes,
                uint32_t* ranks);
  // Bit d tells whether sums[d] >= least[d / 8], for 64 documents; least is below 2^31.
  uint64_t (*reach)(const uint32_t* sums, const uint32_t* least);
};

extern const Loops kScalarLoops;
#ifdef LSR_X86
extern const Loops kAvx2Loops;
extern const Loops kAvx512Loops;
#endif

// Stands for the record of a block without postings.
extern const uint8_t kNoPostings[kPayloadPadding];

// Shared by the sets; a unit that includes this compiles it for its own instruction set.
namespace {

inline const uint8_t* record_at(const Run& run, size_t record, unsigned planes) {
  const uint32_t place = run.records[record] * planes;
  return run.payload + (place < run.last ? place : run.last);
}

}  // namespace
}  // namespace lsr
