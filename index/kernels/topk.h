// The best documents so far, and the score another must reach.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lsr::index {

struct Hit {
  uint64_t key;  // score, then the complement of the position: the greater is the better hit
  uint32_t document;

  uint32_t score() const { return static_cast<uint32_t>(key >> 32); }
  friend bool operator<(const Hit& a, const Hit& b) { return a.key > b.key; }  // best first
};

// Collects every document that may be among the best k.  Scores are counted in bins, so that the
// threshold rises without sorting.
class TopK {
 public:
  // Documents up to `margin` below the k-th are kept too.
  // No score of a sound index is above `largest`.
  void start(size_t k, uint32_t margin, uint64_t largest) {
    k_ = k;
    margin_ = margin;
    threshold_ = 1;
    shift_ = 0;
    while (largest >> shift_ >= kBins) ++shift_;
    std::fill(std::begin(bins_), std::end(bins_), 0);
    lowest_ = highest_ = above_ = 0;
    kth_ = 0;
    candidates_.clear();
    hits.clear();
  }

  // A document with a lower score is not wanted; one with this very score may be, by its
  // position, so callers keep equality.
  uint32_t threshold() const { return threshold_; }

  // Inserts documents that reach the threshold, and raises it by them.
  void insert(const uint32_t* documents, const uint32_t* scores, size_t count) {
    if (count == 0) return;
    const size_t size = candidates_.size();
    candidates_.resize(size + count);
    Candidate* to = candidates_.data() + size;
    size_t above = above_, highest = highest_;
    for (size_t i = 0; i < count; ++i) {
      to[i] = {scores[i], documents[i]};
      const size_t bin = bin_of(scores[i]);
      ++bins_[bin];
      above += bin >= lowest_;  // with a margin, scores below it are inserted too
      highest = std::max(highest, bin);
    }
    above_ = above;
    highest_ = highest;
    if (above_ < k_) return;
    // k documents lie in the bins from `lowest_` on, so the k-th best reaches its lower edge.
    while (above_ - bins_[lowest_] >= k_) above_ -= bins_[lowest_++];
    raise(static_cast<uint32_t>(lowest_ << shift_));
    if (candidates_.size() > 4 * k_ + 1024) drop();
  }

  // Leave the hits in `hits`: the best k, best first, ties by position; with a margin, all that
  // are wanted, in no order.
  void finish(const uint32_t* positions) {
    drop();
    hits.resize(candidates_.size());
    // Few candidates are among the last, so positions, each a cache miss, are looked up only now.
    for (const Candidate& candidate : candidates_)
      __builtin_prefetch(positions + candidate.document);
    if (margin_ != 0) {
      for (size_t i = 0; i < hits.size(); ++i) hits[i] = hit_of(candidates_[i], positions);
      return;
    }
    sort(positions);
    if (hits.size() > k_) hits.resize(k_);
  }

  std::vector<Hit> hits;

 private:
  static constexpr size_t kBins = 2048;  // a bin is .1 % of a usual threshold wide
  static constexpr size_t kBuckets = 4096;

  struct Candidate {
    uint32_t score, document;
  };

  size_t bin_of(uint32_t score) const { return std::min<size_t>(score >> shift_, kBins - 1); }

  static Hit hit_of(const Candidate& candidate, const uint32_t* positions) {
    return {static_cast<uint64_t>(candidate.score) << 32 |
                (0xFFFFFFFFu - positions[candidate.document]),
            candidate.document};
  }

  // Puts the candidates into `hits`, best first.  They are counted into buckets so narrow that most
  // have one at most, and then come in order but for neighbours: a sort by comparisons would
  // mispredict most of them.
  void sort(const uint32_t* positions) {
    if (candidates_.empty()) return;
    uint32_t low = UINT32_MAX, high = 0;
    for (const Candidate& candidate : candidates_) {
      low = std::min(low, candidate.score);
      high = std::max(high, candidate.score);
    }
    size_t count = 64;
    while (count < 4 * candidates_.size() && count < kBuckets) count *= 2;
    unsigned shift = 0;
    while ((high - low) >> shift >= count) ++shift;
    std::fill(buckets_, buckets_ + count, 0);
    for (const Candidate& candidate : candidates_) ++buckets_[(high - candidate.score) >> shift];
    uint32_t rank = 0;
    for (size_t i = 0; i < count; ++i) {
      const uint32_t size = buckets_[i];
      buckets_[i] = rank;
      rank += size;
    }
    for (const Candidate& candidate : candidates_)
      hits[buckets_[(high - candidate.score) >> shift]++] = hit_of(candidate, positions);
    // Every bucket has become the end of its hits.
    size_t begin = 0;
    for (size_t i = 0; i < count; ++i) {
      if (buckets_[i] - begin == 2 && hits[begin + 1] < hits[begin])
        std::swap(hits[begin], hits[begin + 1]);
      else if (buckets_[i] - begin > 2)
        std::sort(hits.begin() + static_cast<ptrdiff_t>(begin),
                  hits.begin() + static_cast<ptrdiff_t>(buckets_[i]));
      begin = buckets_[i];
    }
  }

  void raise(uint32_t kth) {
    kth_ = std::max(kth_, kth);
    if (kth_ > margin_) threshold_ = std::max(threshold_, kth_ - margin_);
  }

  void drop() {
    size_t kept = 0;
    for (const Candidate& candidate : candidates_) {
      candidates_[kept] = candidate;  // always: a branch would be mispredicted
      kept += candidate.score >= threshold_;
    }
    candidates_.resize(kept);
  }

  size_t k_ = 0;
  uint32_t margin_ = 0, threshold_ = 1, kth_ = 0;
  unsigned shift_ = 0;
  uint32_t bins_[kBins], buckets_[kBuckets];
  size_t lowest_ = 0, highest_ = 0, above_ = 0;
  std::vector<Candidate> candidates_;
};

}  // namespace lsr::index
