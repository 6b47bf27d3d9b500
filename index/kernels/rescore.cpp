#include <algorithm>

#include "lookup.h"
#include "search.h"

namespace lsr::index {
namespace {

// The scores of a partition's hits by the weights as given, added up over ascending terms.
class Rescoring {
 public:
  Rescoring(const View& index, const Query& query, const Loops& loops, Scratch& scratch)
      : index_(index), query_(query), loops_(loops), s_(scratch) {}

  // Hits [begin, end) lie in partition p, in order of documents.
  void score(size_t p, size_t begin, size_t end) {
    const Partition& partition = index_.partitions[p];
    const size_t count = end - begin;
    s_.locals.resize(count);
    s_.ranks.resize(count);
    s_.marked.assign(partition.count / 64 + 1, 0);
    s_.earlier.assign(s_.marked.size(), 0);
    for (size_t i = 0; i < count; ++i) {
      const uint32_t local = s_.locals[i] = s_.top.hits[begin + i].document - partition.first;
      if (s_.marked[local / 64] == 0) s_.earlier[local / 64] = static_cast<uint32_t>(i);
      s_.marked[local / 64] |= uint64_t{1} << local % 64;
    }
    s_.matches.clear();
    for (size_t term = 0; term < query_.scaled.terms.size(); ++term) {
      const uint32_t dense = query_.dense_row(term, p), sparse = query_.sparse_row(term, p);
      const double weight = query_.scaled.floats[term];
      if (dense != kAbsent)
        match_dense(partition, dense, weight);
      else if (sparse != kAbsent)
        match_sparse(partition, sparse_run(partition, sparse), weight);
    }
    for (const Scratch::Match& match : s_.matches)
      s_.scores[begin + match.hit] += match.weight * double{partition.floats.data[match.index]};
  }

 private:
  // Postings scanned in about the time of one lookup.
  static constexpr size_t kLookupCost = 8;

  void match_dense(const Partition& partition, uint32_t row, double weight) {
    loops_.ranks(dense_run(partition, row), s_.locals.data(), s_.locals.size(), partition.planes(),
                 s_.ranks.data());
    // No branch: whether a hit has the term is unpredictable.
    size_t count = s_.matches.size();
    s_.matches.resize(count + s_.locals.size());
    const size_t first = count;
    for (size_t i = 0; i < s_.locals.size(); ++i) {
      s_.matches[count] = {i, first_float(partition, row, s_.locals[i]) + s_.ranks[i], weight};
      count += s_.ranks[i] != kNoRank;
    }
    s_.matches.resize(count);
    // They are cache misses: prefetch all before the first is used.
    for (size_t i = first; i < count; ++i) {
      if (s_.matches[i].index >= partition.floats.size)
        throw Damaged("a weight as given is missing");
      __builtin_prefetch(partition.floats.data + s_.matches[i].index);
    }
  }

  // A run of a sparse term is short: scan it, unless looking up each hit is cheaper.
  void match_sparse(const Partition& partition, std::pair<size_t, size_t> run, double weight) {
    if (run.second > partition.floats.size) throw Damaged("a weight as given is missing");
    if (s_.locals.size() * kLookupCost < run.second - run.first) {
      for (size_t i = 0; i < s_.locals.size(); ++i) {
        const Posting posting = sparse_posting(partition, run, s_.locals[i]);
        if (posting.weight != 0) s_.matches.push_back({i, posting.index, weight});
      }
      return;
    }
    for (size_t at = run.first; at < run.second; ++at) {
      const uint32_t document = partition.documents.data[at];
      if (document >= partition.count || !(s_.marked[document / 64] >> document % 64 & 1)) continue;
      const uint64_t before = s_.marked[document / 64] & ((uint64_t{1} << document % 64) - 1);
      s_.matches.push_back({s_.earlier[document / 64] + count_ones(before), at, weight});
    }
  }

  const View& index_;
  const Query& query_;
  const Loops& loops_;
  Scratch& s_;
};

}  // namespace

void rescore(const View& index, const Query& query, size_t k, const Loops& loops,
             Scratch& scratch) {
  std::vector<Hit>& hits = scratch.top.hits;
  std::sort(hits.begin(), hits.end(),
            [](const Hit& a, const Hit& b) { return a.document < b.document; });
  scratch.scores.assign(hits.size(), 0);
  Rescoring rescoring(index, query, loops, scratch);
  for (size_t begin = 0, end = 0; begin < hits.size(); begin = end) {
    const Partition& partition = index.partition_of(hits[begin].document);
    while (end < hits.size() && hits[end].document - partition.first < partition.count) ++end;
    rescoring.score(static_cast<size_t>(&partition - index.partitions.data()), begin, end);
  }
  std::vector<size_t>& order = scratch.order;
  order.resize(hits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const size_t kept = std::min(k, hits.size());
  const auto before = [&](size_t a, size_t b) {
    if (scratch.scores[a] != scratch.scores[b]) return scratch.scores[a] > scratch.scores[b];
    return index.positions[hits[a].document] < index.positions[hits[b].document];
  };
  const auto middle = order.begin() + static_cast<std::ptrdiff_t>(kept);
  if (kept < order.size()) std::nth_element(order.begin(), middle, order.end(), before);
  std::sort(order.begin(), middle, before);
  std::vector<Hit> best(kept);
  std::vector<double> scores(kept);
  for (size_t i = 0; i < kept; ++i) {
    best[i] = hits[order[i]];
    scores[i] = scratch.scores[order[i]];
  }
  hits.swap(best);
  scratch.scores.swap(scores);
}

}  // namespace lsr::index
