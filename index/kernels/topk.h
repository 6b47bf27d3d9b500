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
// threshold rises without sorting, and so that the bins sort the hits at last.
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

  void insert(uint32_t document, uint32_t score) {
    candidates_.push_back({score, document});
    const size_t bin = bin_of(score);
    ++bins_[bin];
    above_ += bin >= lowest_;  // with a margin, scores below it are inserted too
    highest_ = std::max(highest_, bin);
  }

  // Raise the threshold by the documents inserted since.
  void raise_threshold() {
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
    // What is left is what the bins from `lowest_` on have counted: make them ranks.
    uint32_t rank = 0;
    for (size_t bin = highest_ + 1; bin-- > lowest_;) {
      const uint32_t count = bins_[bin];
      bins_[bin] = rank;
      rank += count;
    }
    for (const Candidate& candidate : candidates_)
      hits[bins_[bin_of(candidate.score)]++] = hit_of(candidate, positions);
    auto begin = hits.begin();
    for (size_t bin = highest_ + 1; bin-- > lowest_;) {
      const auto end = hits.begin() + bins_[bin];
      if (end - begin > 1) std::sort(begin, end);
      begin = end;
    }
    if (hits.size() > k_) hits.resize(k_);
  }

  std::vector<Hit> hits;

 private:
  static constexpr size_t kBins = 2048;  // a bin is .1 % of a usual threshold wide

  struct Candidate {
    uint32_t score, document;
  };

  size_t bin_of(uint32_t score) const { return std::min<size_t>(score >> shift_, kBins - 1); }

  static Hit hit_of(const Candidate& candidate, const uint32_t* positions) {
    return {static_cast<uint64_t>(candidate.score) << 32 |
                (0xFFFFFFFFu - positions[candidate.document]),
            candidate.document};
  }

  void raise(uint32_t kth) {
    kth_ = std::max(kth_, kth);
    if (kth_ > margin_) threshold_ = std::max(threshold_, kth_ - margin_);
  }

  void drop() {
    candidates_.erase(
        std::remove_if(candidates_.begin(), candidates_.end(),
                       [&](const Candidate& candidate) { return candidate.score < threshold_; }),
        candidates_.end());
  }

  size_t k_ = 0;
  uint32_t margin_ = 0, threshold_ = 1, kth_ = 0;
  unsigned shift_ = 0;
  uint32_t bins_[kBins];
  size_t lowest_ = 0, highest_ = 0, above_ = 0;
  std::vector<Candidate> candidates_;
};

}  // namespace lsr::index
