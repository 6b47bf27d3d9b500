#include "search.h"

#include <algorithm>
#include <cstring>

namespace lsr {
namespace {

// One query on one index: finds the runs, then visits blocks and offers their documents.
class Searching {
 public:
  Searching(const View& index, const Query& query, const Wanted& wanted, const Loops& loops,
            Scratch& scratch)
      : index_(index), query_(query), wanted_(wanted), loops_(loops), s_(scratch),
        planes_(index.wide ? 2 : 1) {}

  void run() {
    find_runs();
    s_.top.start(wanted_.k, wanted_.margin, largest_score_);
    if (s_.rows.empty() && s_.rare.empty()) return;
    const size_t groups = index_.window_of_group.size();
    s_.bounds.assign(groups * kGroup + kSlack, 0);
    s_.row_of.resize(groups * kGroup + kSlack);
    s_.peaks.resize(groups);
    add_rare();
    if (scan_is_best()) {
      scan();
    } else {
      bound_blocks();
      visit_best();
      sweep();
    }
    forget_rare();
    s_.top.finish();
  }

 private:
  // A damaged document number leads at most so many blocks beyond its window.
  static constexpr size_t kSlack = 65536 / kBlock;
  // Tenths of the largest possible score that the first steps of scoring stand for.
  static constexpr uint64_t kShares[kSplits] = {3, 6};
  // More terms than this could overflow the 16 bits of a bound.
  static constexpr size_t kMostTerms = 4096;
  // One wanted document in so many, and a scan is the better way.  An estimate: on 98,304 SPLADE
  // vectors it was for k = 100, on 196,608 for k = 1,000 and about even for 100.
  static constexpr size_t kScanShare = 1024;
  // Groups whose best blocks are visited before all others: in the first round, with an eighth of
  // k, and in all, with k.
  static constexpr size_t kFirstGroups = 4, kBestGroups = 64;
  // Survivors in a group from which scoring all of it is cheaper than block by block: the best of
  // a few values tried.
  static constexpr size_t kManySurvivors = 20;

  void find_runs() {
    s_.rows.clear();
    s_.rare.clear();
    const Scaled& scaled = query_.scaled;
    for (size_t i = 0; i < scaled.terms.size(); ++i) {
      const auto weight = static_cast<uint32_t>(scaled.weights[i]);
      const uint64_t largest = uint64_t{scaled.maxima[i]} * weight;
      largest_score_ += largest;
      largest_product_ = std::max(largest_product_, largest);
      bool frequent = false;
      for (size_t w = 0; w < index_.windows.size(); ++w)
        frequent |= query_.frequent_place(i, w) != kAbsent;
      if (frequent) s_.rows.push_back({static_cast<uint32_t>(i), largest});
    }
    // Bounds are counted in units of 1 / 250 of the largest product, rounded up, so that those of a
    // frequent term fit 8 bits and the sum of all 16.
    unit_ = static_cast<uint32_t>(
        std::max<uint64_t>({(largest_product_ + 249) / 250, (largest_score_ + 59999) / 60000, 1}));
    // A window at a time: what its postings are added to is then close at hand.
    for (size_t w = 0; w < index_.windows.size(); ++w) {
      const Window& window = index_.windows[w];
      for (size_t i = 0; i < scaled.terms.size(); ++i) {
        const uint32_t place = query_.rare_place(i, w);
        if (place == kAbsent) continue;
        const auto [begin, end] = rare_run(window, place);
        const auto* weights = static_cast<const uint8_t*>(window.weights.data);
        for (size_t at = begin; at < std::min(end, begin + 512); at += 32) {
          __builtin_prefetch(window.documents.data + at, 0, 2);
          __builtin_prefetch(weights + at * planes_, 0, 2);
        }
        s_.rare.push_back({begin, end, static_cast<uint32_t>(w),
                           static_cast<uint32_t>(scaled.weights[i])});
      }
    }
    // Strong rows come first: they decide early which blocks are worth the others.
    std::sort(s_.rows.begin(), s_.rows.end(), [](const Scratch::Row& a, const Scratch::Row& b) {
      return a.strength != b.strength ? a.strength > b.strength : a.query < b.query;
    });
    fill_rows();
  }

  void fill_rows() {
    const size_t rows = s_.rows.size(), windows = index_.windows.size();
    uint64_t total = 0, reached = 0;
    for (const Scratch::Row& row : s_.rows) total += row.strength;
    size_t row = 0;
    for (size_t i = 0; i < kSplits; ++i) {
      while (row < rows && (row % 4 != 0 || reached * 10 < total * kShares[i]))
        reached += s_.rows[row++].strength;
      steps_[i + 1] = row;
    }
    steps_[kSplits + 1] = rows;

    const size_t quads = (rows + 3) / 4;
    s_.factors.assign(4 * quads, 0);
    s_.runs.resize(rows * windows);
    for (row = 0; row < rows; ++row) {
      const size_t i = s_.rows[row].query;
      s_.factors[row] = static_cast<int16_t>(query_.scaled.weights[i]);
      for (size_t w = 0; w < windows; ++w)
        s_.runs[w * rows + row] = frequent_run(index_.windows[w], query_.frequent_place(i, w));
    }
    s_.tile_lines.resize(4 * quads * kTile / sizeof(Scratch::Line));
  }

  bool scan_is_best() const {
    if (wanted_.method == Method::kScan || query_.scaled.terms.size() > kMostTerms)
      return true;
    // So many wanted documents lie in so many blocks that finding them costs more than it saves.
    return wanted_.method == Method::kAuto && wanted_.k > index_.documents / kScanShare;
  }

  // `weight * scaled >> 16`, rounded up, is at least weight * query / unit_.
  uint32_t scaled(uint32_t query) const {
    return static_cast<uint32_t>(((uint64_t{query} << 16) + unit_ - 1) / unit_);
  }

  // Rare terms are cheap enough to be added up exactly, a few bytes a posting: into bounds, and
  // into the sums that the scores of their blocks will start from.
  void add_rare() {
    size_t postings = 0;
    for (const Scratch::RareRun& run : s_.rare) postings += run.end - run.begin;
    if (s_.rare_sums.size() < postings + 1) {
      s_.rare_sums.resize(postings + 1);
      s_.rare_blocks.resize(postings + 1);
    }
    uint32_t used = 0;
    for (const Scratch::RareRun& run : s_.rare) {
      const Window& window = index_.windows[run.window];
      if (window.weights.wide)
        used = add_rare_run(window, static_cast<const uint16_t*>(window.weights.data), run,
                            scaled(run.weight), used);
      else
        used = add_rare_run(window, static_cast<const uint8_t*>(window.weights.data), run,
                            scaled(run.weight), used);
    }
    used_ = used;
  }

  template <class Weight>
  uint32_t add_rare_run(const Window& window, const Weight* weights, const Scratch::RareRun& run,
                        uint32_t scale, uint32_t used) {
    const size_t first = window.first_group * kGroup;
    uint16_t* bounds = s_.bounds.data() + first;
    uint32_t* row_of = s_.row_of.data() + first;
    uint32_t last = UINT32_MAX, maximum = 0;
    for (size_t i = run.begin; i < run.end; ++i) {
      const uint32_t document = window.documents.data[i], weight = weights[i];
      const uint32_t block = document / kBlock;
      // A block's bound takes the largest of the term's weights in it, as the maxima do.
      const uint32_t before = block == last ? maximum : 0;
      maximum = std::max(before, (weight * scale + 65535) >> 16);
      bounds[block] = static_cast<uint16_t>(bounds[block] + maximum - before);
      last = block;
      // No branch: whether a block is new is anybody's guess.
      uint32_t row = row_of[block];
      used += row == 0;
      row = row == 0 ? used : row;
      row_of[block] = row;
      s_.rare_blocks[row] = static_cast<uint32_t>(first + block);
      s_.rare_sums[row][document % kBlock] += run.weight * weight;
    }
    return used;
  }

  void forget_rare() {
    for (uint32_t row = 1; row <= used_; ++row) s_.row_of[s_.rare_blocks[row]] = 0;
    std::fill_n(s_.rare_sums.begin(), used_ + 1, Scratch::Sums{});
  }

  void bound_blocks() {
    const size_t rows = s_.rows.size();
    for (std::vector<uint16_t>& rest : s_.rests) rest.resize(s_.bounds.size());
    s_.luts.resize(rows * kCodes);
    s_.codes.resize(rows);
    for (size_t w = 0; w < index_.windows.size(); ++w) {
      const Window& window = index_.windows[w];
      for (size_t row = 0; row < rows; ++row) {
        const size_t i = s_.rows[row].query;
        const uint32_t place = query_.frequent_place(i, w);
        if (place == kAbsent) continue;  // no code of it is ever looked up
        const uint32_t scale = scaled(static_cast<uint32_t>(query_.scaled.weights[i]));
        for (size_t code = 0; code < kCodes; ++code) {
          const uint32_t bound = (window.codebooks[place * kCodes + code] * scale + 65535) >> 16;
          s_.luts[row * kCodes + code] = static_cast<uint8_t>(std::min<uint32_t>(bound, 255));
        }
      }
      const size_t first = window.first_group;
      Splits splits;
      for (size_t i = 0; i < kSplits; ++i) {
        splits.at[i] = steps_[i + 1];
        splits.rests[i] = s_.rests[i].data() + first * kGroup;
      }
      loops_.bound(s_.runs.data() + w * rows, s_.luts.data(), s_.codes.data(), rows, splits,
                   window.groups, s_.bounds.data() + first * kGroup, s_.peaks.data() + first);
    }
  }

  // The least bound of a block that may hold a document reaching the threshold.
  uint32_t least_bound() const { return (s_.top.threshold() + unit_ - 1) / unit_; }

  // The blocks of a group whose bounds reach `cut`.
  uint64_t survivors(size_t group, uint32_t cut) const {
    return loops_.at_least(s_.bounds.data() + group * kGroup, static_cast<uint16_t>(cut));
  }

  // Visit the blocks that are as good as the best of the best groups, in rounds that double: each
  // lifts the threshold for the next, and all of them that for the sweep.
  void visit_best() {
    std::vector<uint16_t>& ranked = s_.ranked;
    ranked = s_.peaks;
    const auto most = static_cast<std::ptrdiff_t>(
        std::min(wanted_.k + kBestGroups, ranked.size()));
    std::nth_element(ranked.begin(), ranked.begin() + most - 1, ranked.end(), std::greater<>());
    std::sort(ranked.begin(), ranked.begin() + most, std::greater<>());
    const auto last = static_cast<size_t>(most) - 1;
    for (size_t rank = std::min(wanted_.k / 8 + kFirstGroups, last);;
         rank = std::min(2 * rank, last)) {
      const uint32_t cut = std::max<uint32_t>(least_bound(), ranked[rank]);
      visit(cut);
      if (rank == last) return;
    }
  }

  // Score the blocks whose bounds reach `cut`, once.
  void visit(uint32_t cut) {
    size_t pending = 0;
    for (size_t group = 0; group < s_.peaks.size(); ++group) {
      if (s_.peaks[group] < cut) continue;
      uint16_t* bounds = s_.bounds.data() + group * kGroup;
      for (uint64_t left = survivors(group, cut); left != 0; left &= left - 1) {
        const auto block = static_cast<unsigned>(__builtin_ctzll(left));
        bounds[block] = 0;  // visited
        pending = add_slot(group, block, pending);
      }
    }
    score_slots(pending);
  }

  // Visit what may still matter, in order of documents.
  void sweep() {
    size_t pending = 0;
    for (size_t group = 0; group < s_.peaks.size(); ++group) {
      const uint32_t cut = least_bound();
      if (s_.peaks[group] < cut) continue;
      uint64_t left = survivors(group, cut);
      if (static_cast<size_t>(__builtin_popcountll(left)) >= kManySurvivors) {
        score_group(group, left);
        continue;
      }
      for (; left != 0; left &= left - 1)
        pending = add_slot(group, static_cast<unsigned>(__builtin_ctzll(left)), pending);
    }
    score_slots(pending);
  }

  void scan() {
    for (size_t group = 0; group < s_.peaks.size(); ++group) score_group(group, ~uint64_t{0});
  }

  size_t add_slot(size_t group, unsigned block, size_t pending) {
    const uint32_t w = index_.window_of_group[group];
    const auto local = static_cast<uint32_t>((group - index_.windows[w].first_group) * kGroup);
    s_.slots[pending] = {w, local + block};
    prefetch(s_.slots[pending], 0, steps_[1]);
    if (++pending < kGroup) return pending;
    score_slots(pending);
    return 0;
  }

  // A query meets its postings cold, and their places are scattered: what will be wanted is asked
  // for as soon as it is known.
  void prefetch(const Slot& slot, size_t begin, size_t end) const {
    const Run* runs = s_.runs.data() + slot.window * s_.rows.size();
    for (size_t row = begin; row < end; ++row) {
      const bool present = runs[row].bitmaps[slot.block / kGroup] >> slot.block % kGroup & 1;
      const uint8_t* record =
          present ? record_at(runs[row], slot.block / kRecord, planes_) : kNoPostings;
      __builtin_prefetch(record, 0, 2);
      __builtin_prefetch(record + 40, 0, 2);
    }
  }

  // Score the blocks in `slots` in steps, the strongest rows first: only those that can still
  // reach the threshold with the bounds of what is to come go on to the next.
  void score_slots(size_t count) {
    for (size_t i = 0; i < count; ++i) load_sums(i, global_block(s_.slots[i]));
    for (size_t step = 0; step <= kSplits && count > 0; ++step) {
      const size_t begin = steps_[step], end = steps_[step + 1];
      if (begin == end && step > 0) continue;
      if (step > 0)
        for (size_t i = 0; i < count; ++i) prefetch(s_.slots[i], begin, end);
      loops_.add_blocks(s_.runs.data() + begin, s_.rows.size(), s_.factors.data() + begin,
                        end - begin, s_.slots, count, planes_, s_.sums);
      if (end < s_.rows.size()) count = keep_slots(count, s_.rests[step].data());
    }
    for (size_t i = 0; i < count; ++i) {
      const Window& window = index_.windows[s_.slots[i].window];
      for (size_t d = 0; d < kBlock; ++d)
        offer(window, s_.slots[i].block * kBlock + d, s_.sums[i * kBlock + d]);
    }
    s_.top.lift();
  }

  // Drop the blocks of which no document can reach the threshold; returns how many are left.
  size_t keep_slots(size_t count, const uint16_t* rests) {
    const uint32_t threshold = s_.top.threshold();
    size_t kept = 0;
    for (size_t begin = 0; begin < count; begin += kBlock) {
      uint32_t least[kBlock] = {};
      const size_t end = std::min(begin + kBlock, count);
      for (size_t i = begin; i < end; ++i) {
        const uint64_t rest = uint64_t{rests[global_block(s_.slots[i])]} * unit_;
        least[i - begin] = rest < threshold ? static_cast<uint32_t>(threshold - rest) : 0;
      }
      const uint64_t reached = loops_.reach(s_.sums + begin * kBlock, least);
      for (size_t i = begin; i < end; ++i) {
        if ((reached >> ((i - begin) * kBlock) & 255) == 0) continue;
        std::memmove(s_.sums + kept * kBlock, s_.sums + i * kBlock, sizeof(Scratch::Sums));
        s_.slots[kept++] = s_.slots[i];
      }
    }
    return kept;
  }

  // Score a group as it lies, and offer the documents of the wanted blocks.
  void score_group(size_t group, uint64_t wanted) {
    const uint32_t w = index_.window_of_group[group];
    const Window& window = index_.windows[w];
    const size_t rows = s_.rows.size(), local = group - window.first_group;
    std::memset(s_.sums, 0, sizeof s_.sums);
    for (uint64_t left = rare_bitmap(group); left != 0; left &= left - 1) {
      const auto block = static_cast<size_t>(__builtin_ctzll(left));
      load_sums(block, group * kGroup + block);
    }
    const size_t ahead = std::min<size_t>(local + 2, window.groups - 1);
    loops_.add_group(s_.runs.data() + w * rows, s_.factors.data(), rows, local, ahead, planes_,
                     s_.tile(), s_.sums);
    for (size_t at = 0; at < kTile; at += kGroup, wanted >>= kBlock) {
      if ((wanted & 255) == 0) continue;
      uint32_t least[kBlock];
      std::fill_n(least, kBlock, s_.top.threshold());
      for (uint64_t left = loops_.reach(s_.sums + at, least); left != 0; left &= left - 1) {
        const auto d = static_cast<size_t>(__builtin_ctzll(left));
        if (wanted >> (d / kBlock) & 1)
          offer(window, local * kTile + at + d, s_.sums[at + d]);
      }
    }
    s_.top.lift();
  }

  size_t global_block(const Slot& slot) const {
    return index_.windows[slot.window].first_group * kGroup + slot.block;
  }

  void load_sums(size_t at, size_t block) {
    std::memcpy(s_.sums + at * kBlock, s_.rare_sums[s_.row_of[block]].data(),
                sizeof(Scratch::Sums));
  }

  // The blocks of a group with postings of rare terms.
  uint64_t rare_bitmap(size_t group) {
    if (!rare_mapped_) {
      s_.rare_bitmaps.assign(s_.peaks.size() + kSlack / kGroup, 0);
      for (uint32_t row = 1; row <= used_; ++row)
        s_.rare_bitmaps[s_.rare_blocks[row] / kGroup] |= uint64_t{1} << s_.rare_blocks[row] % kGroup;
      rare_mapped_ = true;
    }
    return s_.rare_bitmaps[group];
  }

  void offer(const Window& window, size_t local, uint32_t score) {
    if (score < s_.top.threshold() || score >= 0x80000000u || local >= window.count) return;
    const uint32_t document = window.first + static_cast<uint32_t>(local);
    if (index_.alive[document >> 3] >> (document & 7) & 1)
      s_.top.offer(document, score, index_.positions[document]);
  }

  const View& index_;
  const Query& query_;
  const Wanted& wanted_;
  const Loops& loops_;
  Scratch& s_;
  const unsigned planes_;
  uint64_t largest_score_ = 0, largest_product_ = 0;
  // Row ends of the steps in which blocks are scored.
  size_t steps_[kSplits + 2] = {};
  uint32_t unit_ = 1, used_ = 0;
  bool rare_mapped_ = false;
};

}  // namespace

void search(const View& index, const Query& query, const Wanted& wanted, const Loops& loops,
            Scratch& scratch) {
  Searching(index, query, wanted, loops, scratch).run();
}

}  // namespace lsr
