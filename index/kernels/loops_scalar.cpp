// The reference loops, which all other instruction sets must equal.
#include "lists.h"
#include "lookup.h"

namespace lsr::index {
namespace {

void bound(const Run* runs, const uint8_t* tables, size_t rows, size_t superblocks,
           uint16_t* bounds, uint16_t* superblock_maxima) {
  for (size_t row = 0; row < rows; ++row) {
    const uint8_t *codes = runs[row].codes, *table = tables + row * kCodes;
    for (size_t superblock = 0; superblock < superblocks; ++superblock) {
      uint16_t* low = bounds + superblock * kSuperblock;
      uint16_t* high = low + kSuperblock / 2;
      for (size_t i = 0; i < kSuperblockCodes; ++i, ++codes) {
        low[i] = static_cast<uint16_t>(low[i] + table[*codes & 15]);
        high[i] = static_cast<uint16_t>(high[i] + table[*codes >> 4]);
      }
    }
  }
  for (size_t superblock = 0; superblock < superblocks; ++superblock) {
    superblock_maxima[superblock] = 0;
    for (size_t b = 0; b < kSuperblock; ++b)
      if (bounds[superblock * kSuperblock + b] > superblock_maxima[superblock])
        superblock_maxima[superblock] = bounds[superblock * kSuperblock + b];
  }
}

uint64_t at_least(const uint16_t* values, uint16_t least) {
  uint64_t mask = 0;
  for (size_t i = 0; i < kSuperblock; ++i) mask |= uint64_t{values[i] >= least} << i;
  return mask;
}

// Adds a row's products to the sums of a superblock.
void add_row(const Run& run, size_t superblock, unsigned planes, uint32_t factor, uint32_t* sums) {
  const uint64_t blocks = blocks_of(run, superblock);
  const uint8_t* masks = chunk_at(run, superblock, planes);
  const size_t count = count_ones(blocks), plane = planes == 2 ? count_ones(masks, count) : 0;
  const uint8_t* weights = masks + count;
  for (uint64_t left = blocks; left != 0; left &= left - 1, ++masks) {
    uint32_t* at = sums + static_cast<size_t>(__builtin_ctzll(left)) * kBlock;
    for (unsigned mask = *masks; mask != 0; mask &= mask - 1, ++weights) {
      uint32_t weight = weights[0];
      if (planes == 2) weight |= uint32_t{weights[plane]} << 8;
      at[__builtin_ctz(mask)] += factor * weight;
    }
  }
}

void add(const Rows& rows, size_t first, size_t count, const uint64_t* wanted, uint32_t* sums) {
  for (size_t row = 0; row < rows.count; ++row)
    for (size_t i = 0; i < count; ++i)
      if (wanted[i] != 0)
        add_row(rows.runs[row], first + i, rows.planes, static_cast<uint32_t>(rows.factors[row]),
                sums + i * kSuperblockDocuments);
}

void add_slices(const Slice* slices, size_t count, unsigned planes, uint32_t* sums) {
  for (size_t i = 0; i < count; ++i)
    planes == 2 ? add_slice<uint16_t>(slices[i], sums) : add_slice<uint8_t>(slices[i], sums);
}

void add_bitmap(const List& list, uint32_t weight, uint32_t count, uint32_t* sums) {
  for (uint32_t first = 0; first < count; first += 64)
    for (uint64_t left = bits_at(list, first, count); left != 0; left &= left - 1)
      sums[first + static_cast<uint32_t>(__builtin_ctzll(left))] += weight;
}

size_t reach(const uint32_t* sums, uint32_t least, uint32_t first, uint32_t* documents,
             uint32_t* scores) {
  size_t count = 0;
  for (uint32_t d = 0; d < kSuperblockDocuments; ++d) {
    // Compared as signed numbers, as the vector sets do: a wrapped sum reaches nothing.
    if (sums[d] < least || sums[d] >= 0x80000000u) continue;
    documents[count] = first + d;
    scores[count++] = sums[d];
  }
  return count;
}

}  // namespace

const Loops kScalarLoops = {bound,           block_bounds_of<uint8_t>,
                            at_least,        add,
                            add_slices,      find_ranks,
                            add_lists,       add_bitmap,
                            reach,           kMostSuperblocks,
                            {1.0 / 256, 400}};

}  // namespace lsr::index
