// The inner loops of search, one set an instruction set, all giving the same integers.
//
// In scope: bounds of blocks, weights of documents as dense bytes, their products with a query.
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
constexpr size_t kTile = kGroup * kBlock;   // documents of a group, and of a row of a tile
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

// A block to be scored.
struct Slot {
  uint32_t window;
  uint32_t block;  // of the window
};

// The query's integers by row, in the forms the sets like best; rows are padded to fours with
// zeros, and the rows of a tile that they stand for may hold anything.
struct Factors {
  const int16_t* whole;   // up to 14 bits, one a row
  const uint32_t* low;    // their low 7 bits, four rows a word
  const uint32_t* high;   // and the high 7
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
  // Fill kTile bytes a row with the weights of a group's documents, zero where there is none:
  // plane 0 is the low byte of the weights, plane 1 the high one (of two planes).  The group
  // `ahead` will soon be wanted.
  void (*expand_group)(const Run* runs, size_t rows, size_t group, size_t ahead, unsigned plane,
                       unsigned planes, uint8_t* tile);
  // The same for any blocks, up to kGroup of them; a run is runs[slot.window * stride + row].
  void (*expand_blocks)(const Run* runs, size_t stride, size_t rows, const Slot* slots,
                        size_t count, unsigned plane, unsigned planes, uint8_t* tile);
  // sums[d] += (sum over rows of factor * tile[row * kTile + d]) << shift, for 64 documents;
  // `quads` fours of rows, beginning with row 4 * first.
  void (*multiply)(const uint8_t* tile, const Factors& factors, size_t first, size_t quads,
                   unsigned shift, uint32_t* sums);
  // Bit d tells whether sums[d] >= least[d / 8], for 64 documents; least is below 2^31.
  uint64_t (*reach)(const uint32_t* sums, const uint32_t* least);
};

extern const Loops kScalarLoops;
#ifdef LSR_X86
extern const Loops kAvx2Loops;
extern const Loops kAvx512Loops;
#endif

// Shared by the sets; a unit that includes this compiles it for its own instruction set.
namespace {

inline const uint8_t* record_at(const Run& run, size_t record, unsigned planes) {
  const uint32_t place = run.records[record] * planes;
  return run.payload + (place < run.last ? place : run.last);
}

}  // namespace
}  // namespace lsr
