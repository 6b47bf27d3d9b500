// The reference loops: what every other instruction set must equal.
#include "loops.h"

namespace lsr {
namespace {

void bound(const Run* runs, const uint8_t* luts, const uint8_t** codes, size_t rows,
           const Splits& splits, size_t groups, uint16_t* bounds, uint16_t* peaks) {
  for (size_t row = 0; row < rows; ++row) codes[row] = runs[row].maxima;
  for (size_t group = 0; group < groups; ++group) {
    uint16_t sums[kGroup] = {};
    for (size_t row = rows + 1; row-- > 0;) {
      for (size_t i = 0; i < kSplits; ++i)
        if (row == splits.at[i])
          for (size_t b = 0; b < kGroup; ++b) splits.rests[i][group * kGroup + b] = sums[b];
      if (row == 0) break;
      const uint64_t bitmap = runs[row - 1].bitmaps[group];
      size_t count = 0;
      for (size_t b = 0; b < kGroup; ++b) {
        if (!(bitmap >> b & 1)) continue;
        const unsigned code = codes[row - 1][count / 2] >> (count % 2 * 4) & 15;
        sums[b] = static_cast<uint16_t>(sums[b] + luts[(row - 1) * kCodes + code]);
        ++count;
      }
      codes[row - 1] += (count + 1) / 2;
    }
    peaks[group] = 0;
    for (size_t b = 0; b < kGroup; ++b) {
      uint16_t& bound = bounds[group * kGroup + b];
      bound = static_cast<uint16_t>(bound + sums[b]);
      if (bound > peaks[group]) peaks[group] = bound;
    }
  }
}

uint64_t at_least(const uint16_t* values, uint16_t least) {
  uint64_t found = 0;
  for (size_t i = 0; i < kGroup; ++i) found |= uint64_t{values[i] >= least} << i;
  return found;
}

// Eight documents' weights from a mask of those that have one.
const uint8_t* expand(uint8_t mask, const uint8_t* weights, uint8_t* out) {
  for (size_t i = 0; i < kBlock; ++i) out[i] = mask >> i & 1 ? *weights++ : uint8_t{0};
  return weights;
}

size_t ones(const uint8_t* masks, size_t count) {
  size_t sum = 0;
  for (size_t i = 0; i < count; ++i)
    for (unsigned mask = masks[i]; mask != 0; mask &= mask - 1) ++sum;
  return sum;
}

size_t ones(uint32_t bits) {
  size_t sum = 0;
  for (; bits != 0; bits &= bits - 1) ++sum;
  return sum;
}

uint32_t record_bitmap(const Run& run, size_t record) {
  return static_cast<uint32_t>(run.bitmaps[record / 2] >> (record % 2 * kRecord));
}

void expand_group(const Run* runs, size_t rows, size_t group, size_t, unsigned plane,
                  unsigned planes, uint8_t* tile) {
  for (size_t row = 0; row < rows; ++row) {
    uint8_t* out = tile + row * kTile;
    for (size_t record = 2 * group; record < 2 * group + 2; ++record) {
      const uint32_t bitmap = record_bitmap(runs[row], record);
      const uint8_t* masks = record_at(runs[row], record, planes);
      const size_t blocks = ones(bitmap);
      const uint8_t* weights = masks + blocks + (plane == 1 ? ones(masks, blocks) : 0);
      for (size_t block = 0; block < kRecord; ++block, out += kBlock)
        weights = expand(bitmap >> block & 1 ? *masks++ : uint8_t{0}, weights, out);
    }
  }
}

void expand_blocks(const Run* runs, size_t stride, size_t rows, const Slot* slots, size_t count,
                   unsigned plane, unsigned planes, uint8_t* tile) {
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < count; ++i) {
      const Run& run = runs[slots[i].window * stride + row];
      const size_t record = slots[i].block / kRecord, block = slots[i].block % kRecord;
      const uint32_t bitmap = record_bitmap(run, record);
      const uint8_t* masks = record_at(run, record, planes);
      const size_t blocks = ones(bitmap), before = ones(bitmap & ((uint32_t{1} << block) - 1));
      const uint8_t* weights = masks + blocks + (plane == 1 ? ones(masks, blocks) : 0);
      expand(bitmap >> block & 1 ? masks[before] : uint8_t{0}, weights + ones(masks, before),
             tile + row * kTile + i * kBlock);
    }
  }
}

void multiply(const uint8_t* tile, const Factors& factors, size_t first, size_t quads,
              unsigned shift, uint32_t* sums) {
  for (size_t d = 0; d < kGroup; ++d) {
    uint32_t sum = 0;
    for (size_t row = 0; row < 4 * quads; ++row)
      sum += static_cast<uint32_t>(factors.whole[4 * first + row]) * tile[row * kTile + d];
    sums[d] += sum << shift;
  }
}

uint64_t reach(const uint32_t* sums, const uint32_t* least) {
  uint64_t reached = 0;
  for (size_t d = 0; d < kGroup; ++d)
    // Compared as signed numbers, as the vector sets do: a wrapped sum reaches nothing.
    reached |= uint64_t{sums[d] >= least[d / kBlock] && sums[d] < 0x80000000u} << d;
  return reached;
}

}  // namespace

const Loops kScalarLoops = {bound, at_least, expand_group, expand_blocks, multiply, reach};

}  // namespace lsr
