// The reference loops: what every other instruction set must equal.
#include "lookup.h"

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
      for (uint64_t left = bitmap; left != 0; left &= left - 1) {
        const auto b = static_cast<size_t>(__builtin_ctzll(left));
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

// Adds the products of one block's weights; returns where the next block's weights start.
const uint8_t* add_block(unsigned mask, const uint8_t* weights, size_t plane, unsigned planes,
                         uint32_t factor, uint32_t* sums) {
  for (; mask != 0; mask &= mask - 1, ++weights) {
    uint32_t weight = weights[0];
    if (planes == 2) weight |= uint32_t{weights[plane]} << 8;
    sums[__builtin_ctz(mask)] += factor * weight;
  }
  return weights;
}

void add_group(const Run* runs, const int16_t* factors, size_t rows, size_t group, size_t,
               unsigned planes, uint8_t*, uint32_t* sums) {
  for (size_t row = 0; row < rows; ++row) {
    for (size_t half = 0; half < 2; ++half) {
      uint32_t bitmap = record_bitmap(runs[row], 2 * group + half);
      const uint8_t* masks = record_at(runs[row], 2 * group + half, planes);
      const size_t blocks = count_ones(bitmap), plane = planes == 2 ? count_ones(masks, blocks) : 0;
      const uint8_t* weights = masks + blocks;
      for (; bitmap != 0; bitmap &= bitmap - 1, ++masks) {
        const size_t block = half * kRecord + static_cast<size_t>(__builtin_ctz(bitmap));
        weights = add_block(*masks, weights, plane, planes, static_cast<uint32_t>(factors[row]),
                            sums + block * kBlock);
      }
    }
  }
}

void add_blocks(const Run* runs, size_t stride, const int16_t* factors, size_t rows,
                const Slot* slots, size_t count, unsigned planes, uint32_t* sums) {
  for (size_t i = 0; i < count; ++i, sums += kBlock) {
    const size_t record = slots[i].block / kRecord, block = slots[i].block % kRecord;
    for (size_t row = 0; row < rows; ++row) {
      const Run& run = runs[slots[i].window * stride + row];
      const uint32_t bitmap = record_bitmap(run, record);
      if (!(bitmap >> block & 1)) continue;
      const uint8_t* masks = record_at(run, record, planes);
      const size_t blocks = count_ones(bitmap), before = count_ones(bitmap & ((uint32_t{1} << block) - 1));
      add_block(masks[before], masks + blocks + count_ones(masks, before),
                planes == 2 ? count_ones(masks, blocks) : 0, planes,
                static_cast<uint32_t>(factors[row]), sums);
    }
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

const Loops kScalarLoops = {bound, at_least, add_group, add_blocks, find_ranks, reach};

}  // namespace lsr
