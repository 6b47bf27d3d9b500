#include "search.h"

#include <algorithm>
#include <type_traits>

namespace lsr {
namespace {

// A query term's postings in one window.
template <class Weight>
struct Run {
  const uint16_t* documents;
  const Weight* weights;
  size_t size;
  const Weight* row;  // block maxima, or null: then the postings serve
  uint32_t query;
  uint64_t bound;  // query * largest weight
};

bool better(const Hit& a, const Hit& b) {
  return a.score != b.score ? a.score > b.score : a.position < b.position;
}

// The best k so far, pruned whenever twice as many have gathered.
class TopK {
 public:
  TopK(const View& index, size_t k, uint32_t floor, std::vector<Hit>& hits)
      : index_(index), k_(k), threshold_(std::max<uint32_t>(floor, 1)), hits_(hits) {
    hits_.clear();
  }

  // A document with a lower score is not among the best k; one with this very score may be,
  // by its position, so callers keep equality.
  uint32_t threshold() const { return threshold_; }
  bool full() const { return hits_.size() >= k_; }

  void offer(uint32_t document, uint32_t score) {
    if (score < threshold_) return;
    if (index_.alive[document >> 3] >> (document & 7) & 1) {
      hits_.push_back({score, index_.positions[document], document});
      if (hits_.size() / 2 >= k_ && hits_.size() >= kSlack) prune();
    }
  }

  void prune() {
    if (hits_.size() < k_) return;
    const auto kth = hits_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
    std::nth_element(hits_.begin(), kth, hits_.end(), better);
    threshold_ = std::max(threshold_, kth->score);
    hits_.resize(k_);
  }

  // Forget the documents of a window that will be offered again.  The threshold stays: it was
  // reached by documents that exist.
  void forget_from(uint32_t first) {
    hits_.erase(std::remove_if(hits_.begin(), hits_.end(),
                               [&](const Hit& hit) { return hit.document >= first; }),
                hits_.end());
  }

  void finish() {
    prune();
    std::sort(hits_.begin(), hits_.end(), better);
  }

 private:
  static constexpr size_t kSlack = 64;  // a tiny k is not worth pruning for every few offers
  const View& index_;
  size_t k_;
  uint32_t threshold_;
  std::vector<Hit>& hits_;
};

// The place of a term among a window's runs, or the number of runs.
size_t find_run(const Window& window, uint32_t term) {
  const uint32_t* end = window.terms + window.runs;
  const uint32_t* found = std::lower_bound(window.terms, end, term);
  return found != end && *found == term ? static_cast<size_t>(found - window.terms) : window.runs;
}

// Begin and end of a run's postings, checked: the file may be damaged.
void run_limits(const Window& window, size_t run, size_t& begin, size_t& end) {
  begin = window.starts[run];
  end = run + 1 < window.runs ? window.starts[run + 1] : window.postings;
  if (begin > end || end > window.postings) throw Damaged("a run lies outside its postings");
}

template <class Weight>
class WindowSearch {
 public:
  WindowSearch(const Window& window, const Query& query, const Loops& loops, Scratch& scratch,
               TopK& top)
      : window_(window), loops_(loops), scratch_(scratch), top_(top) {
    for (size_t i = 0; i < query.size; ++i) {
      const size_t run = find_run(window, query.terms[i]);
      if (run == window.runs) continue;
      size_t begin, end;
      run_limits(window, run, begin, end);
      const int32_t row = window.rows[run];
      if (row >= 0 && static_cast<size_t>(row) >= window.block_rows)
        throw Damaged("a block-maxima row lies outside its file");
      const auto weight = static_cast<uint32_t>(query.weights[i]);
      const uint64_t maximum = static_cast<const Weight*>(window.maxima)[run];
      runs_.push_back({window.documents + begin, static_cast<const Weight*>(window.weights) + begin,
                       end - begin,
                       row < 0 ? nullptr
                               : static_cast<const Weight*>(window.blocks) +
                                     static_cast<size_t>(row) * window.row_length,
                       weight, weight * maximum});
      postings_ += end - begin;
      bound_ += weight * maximum;
    }
  }

  // Returns how the next window is best searched: one that pruning did not help speaks for a scan
  // of its neighbours too.
  Method run(Method method, size_t k) {
    // No document of the window can score more than the sum of the runs' largest products.
    if (runs_.empty() || bound_ < top_.threshold()) return method;
    if (method == Method::kScan || (method == Method::kAuto && !bounds_may_pay()))
      scan();
    else if (!prune(method, k))
      return Method::kScan;
    return method;
  }

 private:
  // Costs in postings scanned: of bounding with a posting of a run without a row, of bounding with
  // a row of 8,192 blocks, and of finding a block in a run.  They only decide between two ways to
  // the same hits.  The first and the last are the better of a few values tried on 196,608 SPLADE
  // vectors; the middle one is an estimate.
  static constexpr size_t kSparseCost = 3;
  static constexpr size_t kRowCost = 1024;
  static constexpr size_t kVisitCost = 40;
  // A run of fewer postings a block is walked, not leapt through.
  static constexpr size_t kLeapCost = 12;

  // Documents of a scan compared with one threshold.
  static constexpr size_t kStretch = 2048;

  // Without a threshold nothing is pruned, and bounds that cost as much as a scan save nothing.
  bool bounds_may_pay() const {
    if (!top_.full()) return false;
    size_t cost = 0;
    for (const Run<Weight>& run : runs_)
      cost += run.row == nullptr ? run.size * kSparseCost : kRowCost;
    return cost < postings_;
  }

  void scan() {
    uint32_t* sums = scratch_.sums.data();
    for (const Run<Weight>& run : runs_) add_run(sums, run);
    uint16_t* selected = scratch_.selected.data();
    // A stretch at a time: each lifts the threshold that the next must reach.
    for (size_t start = 0; start < window_.count; start += kStretch) {
      const size_t size = std::min<size_t>(kStretch, window_.count - start);
      const size_t found = loops_.select(sums + start, size, top_.threshold(), selected);
      for (size_t i = 0; i < found; ++i)
        offer(static_cast<uint16_t>(start + selected[i]), sums[start + selected[i]]);
    }
    std::fill(scratch_.sums.begin(), scratch_.sums.end(), 0);
  }

  // Whether the bounds were worth computing: false when too many blocks survived them.
  bool prune(Method method, size_t k) {
    compute_bounds();
    uint32_t* bounds = scratch_.bounds.data();
    const size_t blocks = (window_.count + kBlock - 1) / kBlock;
    std::vector<uint16_t>& survivors = scratch_.survivors;
    survivors.resize(blocks + 16);
    // The blocks of the highest bounds come first, in rounds that double: each round lifts the
    // threshold, so that most blocks are never visited.
    for (size_t round = k / 2 + 32;; round *= 2) {
      // A block whose bound is below the threshold holds no document that reaches it.
      const size_t left = loops_.select(bounds, blocks, top_.threshold(), survivors.data());
      if (left == 0) return true;
      if (method == Method::kAuto && left * runs_.size() * kVisitCost > postings_) {
        top_.forget_from(window_.first);
        scan();
        return false;
      }
      const uint32_t cut = left > round ? cut_for(bounds, survivors.data(), left, round) : 0;
      std::vector<uint16_t>& visited = scratch_.visited;
      visited.clear();
      for (size_t i = 0; i < left; ++i)
        if (bounds[survivors[i]] >= cut) visited.push_back(survivors[i]);
      score_blocks(visited);
      for (uint16_t block : visited) bounds[block] = 0;
      top_.prune();
      if (visited.size() == left) return true;
    }
  }

  // For every block, the sum of its maxima over the runs.
  void compute_bounds() {
    scratch_.bounds.assign(window_.row_length, 0);
    uint32_t* bounds = scratch_.bounds.data();
    for (const Run<Weight>& run : runs_) {
      if (run.row != nullptr) {
        if constexpr (std::is_same_v<Weight, uint8_t>)
          loops_.add_row_u8(bounds, run.row, window_.row_length, run.query);
        else
          loops_.add_row_u16(bounds, run.row, window_.row_length, run.query);
        continue;
      }
      for (size_t i = 0; i < run.size;) {
        const size_t block = run.documents[i] / kBlock;
        uint32_t maximum = 0;
        for (; i < run.size && run.documents[i] / kBlock == block; ++i)
          maximum = std::max<uint32_t>(maximum, run.weights[i]);
        if (block < window_.row_length) bounds[block] += run.query * maximum;
      }
    }
  }

  // A bound that about `wanted` of the survivors reach, and at least one.
  static uint32_t cut_for(const uint32_t* bounds, const uint16_t* survivors, size_t count,
                          size_t wanted) {
    constexpr size_t kBins = 256;
    uint32_t low = UINT32_MAX, high = 0;
    for (size_t i = 0; i < count; ++i) {
      low = std::min(low, bounds[survivors[i]]);
      high = std::max(high, bounds[survivors[i]]);
    }
    const uint64_t width = (static_cast<uint64_t>(high) - low) / kBins + 1;
    size_t bins[kBins] = {};
    for (size_t i = 0; i < count; ++i) ++bins[(bounds[survivors[i]] - low) / width];
    size_t bin = kBins, reached = 0;
    do reached += bins[--bin];
    while (bin > 0 && (reached == 0 || reached + bins[bin - 1] <= wanted));
    return static_cast<uint32_t>(low + bin * width);
  }

  // Score every document of the given blocks (ascending) and offer them.
  void score_blocks(const std::vector<uint16_t>& blocks) {
    uint32_t* sums = scratch_.sums.data();
    for (size_t slot = 0; slot < blocks.size(); ++slot)
      scratch_.slots[blocks[slot]] = static_cast<uint16_t>(slot);
    for (const Run<Weight>& run : runs_) {
      if (run.size < blocks.size() * kLeapCost)
        add_by_posting(sums, run);
      else
        add_by_block(sums, run, blocks);
    }
    for (uint16_t block : blocks) scratch_.slots[block] = Scratch::kNoSlot;
    const size_t values = blocks.size() * kBlock;
    uint16_t* selected = scratch_.selected.data();
    const size_t found = loops_.select(sums, values, top_.threshold(), selected);
    for (size_t i = 0; i < found; ++i) {
      const size_t at = selected[i];
      const size_t document = blocks[at / kBlock] * kBlock + at % kBlock;
      if (document < window_.count) offer(static_cast<uint16_t>(document), sums[at]);
    }
    std::fill_n(sums, values, 0);
  }

  // A short run: walk its postings, keep those in a wanted block.
  void add_by_posting(uint32_t* sums, const Run<Weight>& run) {
    for (size_t i = 0; i < run.size; ++i) {
      const size_t document = run.documents[i];
      const size_t slot = scratch_.slots[document / kBlock];
      if (slot != Scratch::kNoSlot)
        sums[slot * kBlock + document % kBlock] += run.query * run.weights[i];
    }
  }

  // A long run: leap from block to block.
  static void add_by_block(uint32_t* sums, const Run<Weight>& run,
                           const std::vector<uint16_t>& blocks) {
    size_t at = 0;
    for (size_t slot = 0; slot < blocks.size(); ++slot) {
      const size_t first = blocks[slot] * kBlock;
      size_t step = 1;
      size_t high = at;
      while (high < run.size && run.documents[high] < first) {
        at = high + 1;
        high += step;
        step *= 2;
      }
      high = std::min(high, run.size);
      at = static_cast<size_t>(
          std::lower_bound(run.documents + at, run.documents + high, first) - run.documents);
      for (; at < run.size && run.documents[at] < first + kBlock; ++at)
        sums[slot * kBlock + run.documents[at] % kBlock] += run.query * run.weights[at];
    }
  }

  void add_run(uint32_t* sums, const Run<Weight>& run) {
    if constexpr (std::is_same_v<Weight, uint8_t>)
      loops_.add_run_u8(sums, run.documents, run.weights, run.size, run.query);
    else
      loops_.add_run_u16(sums, run.documents, run.weights, run.size, run.query);
  }

  void offer(uint16_t document, uint32_t score) { top_.offer(window_.first + document, score); }

  const Window& window_;
  const Loops& loops_;
  Scratch& scratch_;
  TopK& top_;
  std::vector<Run<Weight>> runs_;
  size_t postings_ = 0;
  uint64_t bound_ = 0;
};

}  // namespace

void search(const View& index, const Query& query, size_t k, uint32_t floor, Method method,
            const Loops& loops, Scratch& scratch) {
  TopK top(index, k, floor, scratch.hits);
  for (const Window& window : index.windows) {
    method = index.wide
                 ? WindowSearch<uint16_t>(window, query, loops, scratch, top).run(method, k)
                 : WindowSearch<uint8_t>(window, query, loops, scratch, top).run(method, k);
    top.prune();
  }
  top.finish();
}

uint32_t term_maximum(const View& index, uint32_t term) {
  uint32_t maximum = 0;
  for (const Window& window : index.windows) {
    const size_t run = find_run(window, term);
    if (run == window.runs) continue;
    const uint32_t here = index.wide ? static_cast<const uint16_t*>(window.maxima)[run]
                                     : static_cast<const uint8_t*>(window.maxima)[run];
    maximum = std::max(maximum, here);
  }
  return maximum;
}

int64_t find_posting(const View& index, uint32_t document, uint32_t term, const Window** window) {
  auto after = std::upper_bound(index.windows.begin(), index.windows.end(), document,
                                [](uint32_t d, const Window& w) { return d < w.first; });
  *window = &*--after;  // the first window starts at document 0
  const size_t run = find_run(**window, term);
  if (run == (*window)->runs) return -1;
  size_t begin, end;
  run_limits(**window, run, begin, end);
  const uint16_t* documents = (*window)->documents;
  const uint32_t local = document - (*window)->first;
  const uint16_t* found = std::lower_bound(documents + begin, documents + end, local);
  return found != documents + end && *found == local ? found - documents : -1;
}

}  // namespace lsr
