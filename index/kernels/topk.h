// The best documents so far, and the score another must reach.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lsr {

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
    lowest_ = above_ = 0;
    kth_ = 0;
    hits.clear();
  }

  // A document with a lower score is not wanted; one with this very score may be, by its
  // position, so callers keep equality.
  uint32_t threshold() const { return threshold_; }

  void offer(uint32_t document, uint32_t score, uint32_t position) {
    hits.push_back({static_cast<uint64_t>(score) << 32 | (0xFFFFFFFFu - position), document});
    const size_t bin = std::min<size_t>(score >> shift_, kBins - 1);
    ++bins_[bin];
    above_ += bin >= lowest_;  // with a margin, scores below it are offered too
  }

  // Raise the threshold by what was offered since.
  void lift() {
    if (above_ < k_) return;
    // k documents lie in the bins from `lowest_` on, so the k-th best reaches its lower edge.
    while (above_ - bins_[lowest_] >= k_) above_ -= bins_[lowest_++];
    raise(static_cast<uint32_t>(lowest_ << shift_));
    if (hits.size() > 4 * k_ + 1024) drop();
  }

  // Sort the hits, best first; without a margin, the best k only.
  void finish() {
    drop();
    if (margin_ == 0 && hits.size() > k_) {
      std::nth_element(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(k_), hits.end());
      hits.resize(k_);
    }
    std::sort(hits.begin(), hits.end());
  }

  std::vector<Hit> hits;

 private:
  static constexpr size_t kBins = 2048;  // a bin is .1 % of a usual threshold wide

  void raise(uint32_t kth) {
    kth_ = std::max(kth_, kth);
    if (kth_ > margin_) threshold_ = std::max(threshold_, kth_ - margin_);
  }

  void drop() {
    hits.erase(std::remove_if(hits.begin(), hits.end(),
                              [&](const Hit& hit) { return hit.score() < threshold_; }),
               hits.end());
  }

  size_t k_ = 0;
  uint32_t margin_ = 0, threshold_ = 1, kth_ = 0;
  unsigned shift_ = 0;
  uint32_t bins_[kBins];
  size_t lowest_ = 0, above_ = 0;
};

}  // namespace lsr
