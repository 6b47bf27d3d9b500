// The reference loops: what every other instruction set must equal.
#include "lists.h"
#include "lookup.h"

namespace lsr::index {
namespace {

void bound(const Run* runs, const uint8_t* luts, size_t rows, size_t groups, uint16_t* bounds,
           uint16_t* peaks) {
  for (size_t row = 0; row < rows; ++row) {
    const uint8_t* codes = runs[row].maxima;
    for (size_t group = 0; group < groups; ++group) {
      size_t count = 0;
      for (uint64_t left = runs[row].bitmaps[group]; left != 0; left &= left - 1, ++count) {
        const auto b = static_cast<size_t>(__builtin_ctzll(left));
        const unsigned code = codes[count / 2] >> (count % 2 * 4) & 15;
        uint16_t& bound = bounds[group * kGroup + b];
        bound = static_cast<uint16_t>(bound + luts[row * kCodes + code]);
      }
      codes += (count + 1) / 2;
    }
  }
  for (size_t group = 0; group < groups; ++group) {
    peaks[group] = 0;
    for (size_t b = 0; b < kGroup; ++b)
      if (bounds[group * kGroup + b] > peaks[group]) peaks[group] = bounds[group * kGroup + b];
  }
}

uint64_t at_least(const uint16_t* values, uint16_t least) {
  uint64_t found = 0;
  for (size_t i = 0; i < kGroup; ++i) found |= uint64_t{values[i] >= least} << i;
  return found;
}

// Adds a row's products to the sums of the wanted blocks of half a group.
void add_half(const Run& run, size_t record, uint32_t wanted, unsigned planes, uint32_t factor,
              uint32_t* sums) {
  const uint32_t bitmap = record_bitmap(run, record);
  const uint8_t* masks = record_at(run, record, planes);
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

size_t score(const Group& group, uint32_t* documents, uint32_t* scores) {
  uint32_t sums[kGroupDocuments] = {};
  for (size_t i = 0; i < group.addend_count; ++i)
    sums[group.addends[i].document] += group.addends[i].product;
  for (size_t row = 0; row < group.rows; ++row)
    for (size_t half = 0; half < 2; ++half)
      add_half(group.runs[row], 2 * group.number + half,
               static_cast<uint32_t>(group.wanted >> (half * kRecord)), group.planes,
               static_cast<uint32_t>(group.factors[row]), sums + half * kRecord * kBlock);
  size_t found = 0;
  for (size_t d = 0; d < kGroupDocuments; ++d) {
    // Compared as signed numbers, as the vector sets do: a wrapped sum reaches nothing.
    if ((group.wanted >> (d / kBlock) & 1) == 0 || sums[d] < group.least ||
        sums[d] >= 0x80000000u)
      continue;
    documents[found] = static_cast<uint32_t>(group.number * kGroupDocuments + d);
    scores[found++] = sums[d];
  }
  return found;
}

void add_bitmap(const List& list, uint32_t weight, uint32_t count, uint32_t* sums) {
  for (uint32_t first = 0; first < count; first += 64)
    for (uint64_t left = bits_at(list, first, count); left != 0; left &= left - 1)
      sums[first + static_cast<uint32_t>(__builtin_ctzll(left))] += weight;
}

size_t reach(const uint32_t* sums, uint32_t least, uint32_t first, uint32_t* documents,
             uint32_t* scores) {
  size_t found = 0;
  for (uint32_t d = 0; d < kGroupDocuments; ++d) {
    if (sums[d] < least || sums[d] >= 0x80000000u) continue;  // as in `score`
    documents[found] = first + d;
    scores[found++] = sums[d];
  }
  return found;
}

}  // namespace

const Loops kScalarLoops = {bound, at_least, score, find_ranks, add_lists, add_bitmap, reach};

}  // namespace lsr::index
