// The reference loops, which all other instruction sets must equal.
#include "lists.h"
#include "lookup.h"

namespace lsr::index {
namespace {

void bound(const Run* runs, const uint8_t* tables, size_t rows, size_t superblocks,
           uint16_t* bounds, uint16_t* superblock_maxima) {
  for (size_t row = 0; row < rows; ++row) {
    const uint8_t* codes = runs[row].maxima;
    for (size_t superblock = 0; superblock < superblocks; ++superblock) {
      size_t count = 0;
      for (uint64_t left = runs[row].bitmaps[superblock]; left != 0; left &= left - 1, ++count) {
        const auto b = static_cast<size_t>(__builtin_ctzll(left));
        const unsigned code = codes[count / 2] >> (count % 2 * 4) & 15;
        uint16_t& bound = bounds[superblock * kSuperblock + b];
        bound = static_cast<uint16_t>(bound + tables[row * kCodes + code]);
      }
      codes += (count + 1) / 2;
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

// Adds a row's products to the sums of the wanted blocks of half a superblock.
void add_half(const Run& run, size_t chunk, uint32_t wanted, unsigned planes, uint32_t factor,
              uint32_t* sums) {
  const uint32_t bitmap = chunk_bitmap(run, chunk);
  const uint8_t* masks = chunk_at(run, chunk, planes);
  const size_t blocks = count_ones(bitmap), plane = planes == 2 ? count_ones(masks, blocks) : 0;
  const uint8_t* weights = masks + blocks;
  for (uint32_t left = bitmap; left != 0; left &= left - 1, ++masks) {
    const auto block = static_cast<size_t>(__builtin_ctz(left));
    if (wanted >> block & 1) {
      const uint8_t* at = weights;
      for (unsigned mask = *masks; mask != 0; mask &= mask - 1, ++at) {
        uint32_t weight = at[0];
        if (planes == 2) weight |= uint32_t{at[plane]} << 8;
        sums[block * kBlock + static_cast<size_t>(__builtin_ctz(mask))] += factor * weight;
      }
    }
    weights += count_ones(*masks);
  }
}

size_t score(const Superblock& superblock, uint32_t* documents, uint32_t* scores) {
  uint32_t sums[kSuperblockDocuments] = {};
  for (size_t i = 0; i < superblock.product_count; ++i)
    sums[superblock.products[i].document] += superblock.products[i].product;
  for (size_t row = 0; row < superblock.rows; ++row)
    for (size_t half = 0; half < 2; ++half)
      add_half(superblock.runs[row], 2 * superblock.index + half,
               static_cast<uint32_t>(superblock.wanted >> (half * kChunk)), superblock.planes,
               static_cast<uint32_t>(superblock.factors[row]), sums + half * kChunk * kBlock);
  size_t count = 0;
  for (size_t d = 0; d < kSuperblockDocuments; ++d) {
    // Compared as signed numbers, as the vector sets do: a wrapped sum reaches nothing.
    if ((superblock.wanted >> (d / kBlock) & 1) == 0 || sums[d] < superblock.least ||
        sums[d] >= 0x80000000u)
      continue;
    documents[count] = static_cast<uint32_t>(superblock.index * kSuperblockDocuments + d);
    scores[count++] = sums[d];
  }
  return count;
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
    if (sums[d] < least || sums[d] >= 0x80000000u) continue;  // as in `score`
    documents[count] = first + d;
    scores[count++] = sums[d];
  }
  return count;
}

}  // namespace

const Loops kScalarLoops = {bound, at_least, score, find_ranks, add_lists, add_bitmap, reach};

}  // namespace lsr::index
