// Top-k of an index without weights: counts every posting of the query's terms.
//
// Skipping would not pay.  With equal weights, a block's bound is the number of the query's terms
// in it, so computing the bounds is counting already; and terms of binary vectors are so many and
// so sparse that a block of 8 documents rarely has more than one posting of each.
#include <algorithm>

#include "search.h"

namespace lsr::index {

void count(const View& index, const Query& query, const Wanted& wanted, const Loops& loops,
           Scratch& scratch) {
  const Scaled& scaled = query.scaled;
  uint64_t largest = 0;
  for (const int32_t weight : scaled.weights) largest += static_cast<uint64_t>(weight);
  scratch.top.start(wanted.k, wanted.margin, largest);
  for (size_t p = 0; p < index.partitions.size(); ++p) {
    const Partition& partition = index.partitions[p];
    scratch.sums.assign(size_t{partition.superblocks} * kSuperblockDocuments, 0);
    std::vector<List>& lists = scratch.lists;
    std::vector<uint32_t>& weights = scratch.list_weights;
    lists.clear();
    weights.clear();
    for (size_t i = 0; i < scaled.terms.size(); ++i) {
      const uint32_t row = query.sparse_row(i, p);
      if (row == kAbsent) continue;
      lists.push_back(list_of(partition, row));
      weights.push_back(static_cast<uint32_t>(scaled.weights[i]));
      __builtin_prefetch(lists.back().begin);
    }
    if (lists.empty()) continue;
    size_t coded = 0;
    for (size_t i = 0; i < lists.size(); ++i) {
      if (is_bitmap(partition, lists[i])) {
        loops.add_bitmap(lists[i], weights[i], partition.count, scratch.sums.data());
      } else {
        lists[coded] = lists[i];
        weights[coded++] = weights[i];
      }
    }
    if (!loops.add_lists(lists.data(), weights.data(), coded, partition.count, scratch.sums.data()))
      throw Damaged("a list of documents is damaged");
    for (uint32_t superblock = 0; superblock < partition.superblocks; ++superblock) {
      const uint32_t first = superblock * static_cast<uint32_t>(kSuperblockDocuments);
      const size_t reached =
          loops.reach(scratch.sums.data() + first, scratch.top.threshold(), partition.first + first,
                      scratch.candidates, scratch.candidate_scores);
      size_t kept = 0;
      for (size_t i = 0; i < reached; ++i) {
        const uint32_t document = scratch.candidates[i];
        scratch.candidates[kept] = document;
        scratch.candidate_scores[kept] = scratch.candidate_scores[i];
        kept += index.alive[document >> 3] >> (document & 7) & 1;
      }
      scratch.top.insert(scratch.candidates, scratch.candidate_scores, kept);
    }
  }
  scratch.top.finish(index.positions);
}

}  // namespace lsr::index
