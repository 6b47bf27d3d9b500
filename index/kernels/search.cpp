#include "search.h"

#include <algorithm>

namespace lsr::index {
namespace {

// One query on one index: finds the runs, then visits blocks and offers their documents.
class Searching {
 public:
  Searching(const View& index, const Query& query, const Wanted& wanted, const Loops& loops,
            Scratch& scratch)
      : index_(index), query_(query), wanted_(wanted), loops_(loops), s_(scratch),
        planes_(index.wide ? 2 : 1), groups_(index.window_of_group.size()) {}

  void run() {
    find_runs();
    s_.top.start(wanted_.k, wanted_.margin, largest_score_);
    if (s_.rows.empty() && s_.rare.empty()) return;
    s_.bounds.assign(groups_ * kGroup + kSlack, 0);
    s_.peaks.assign((groups_ + kGroup - 1) / kGroup * kGroup, 0);
    add_rare();
    if (scan_is_best()) {
      scan();
    } else {
      bound_blocks();
      visit_blocks();
    }
    s_.top.finish(index_.positions);
  }

 private:
  // A damaged document number leads at most so many blocks beyond its window.
  static constexpr size_t kSlack = 65536 / kBlock;
  // More terms than this could overflow the 16 bits of a bound.
  static constexpr size_t kMostTerms = 4096;
  // One wanted document in so many, and a scan is the better way.
  static constexpr size_t kScanShare = 64;
  // Groups visited before all others, those with the best blocks: in the first round, and, with a
  // sixteenth of k, in the second.
  static constexpr size_t kFirstGroups = 2, kBestGroups = 12;

  void find_runs() {
    s_.rows.clear();
    s_.rare.clear();
    const Scaled& scaled = query_.scaled;
    uint64_t largest_product = 0;
    for (size_t i = 0; i < scaled.terms.size(); ++i) {
      const auto weight = static_cast<uint32_t>(scaled.weights[i]);
      const uint64_t largest = uint64_t{scaled.maxima[i]} * weight;
      largest_score_ += largest;
      largest_product = std::max(largest_product, largest);
      bool frequent = false;
      for (size_t w = 0; w < index_.windows.size(); ++w)
        frequent |= query_.frequent_place(i, w) != kAbsent;
      if (frequent) s_.rows.push_back(static_cast<uint32_t>(i));
    }
    // Bounds are counted in units of 1 / 250 of the largest product, rounded up, so that those of a
    // frequent term fit 8 bits and the sum of all 16.
    unit_ = static_cast<uint32_t>(
        std::max<uint64_t>({(largest_product + 249) / 250, (largest_score_ + 59999) / 60000, 1}));
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
    fill_rows();
  }

  void fill_rows() {
    const size_t rows = s_.rows.size(), windows = index_.windows.size(), quads = (rows + 3) / 4;
    s_.factors.resize(rows);
    s_.runs.resize(rows * windows);
    for (size_t row = 0; row < rows; ++row) {
      const size_t i = s_.rows[row];
      s_.factors[row] = static_cast<int16_t>(query_.scaled.weights[i]);
      for (size_t w = 0; w < windows; ++w)
        s_.runs[w * rows + row] = frequent_run(index_.windows[w], query_.frequent_place(i, w));
    }
    s_.quads.assign(quads, {0, 0});
    for (size_t row = 0; row < rows; ++row) {
      const auto factor = static_cast<uint32_t>(s_.factors[row]);
      s_.quads[row / 4].low |= (factor & 127) << (8 * (row % 4));
      s_.quads[row / 4].high |= (factor >> 7) << (8 * (row % 4));
    }
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

  // Rare terms are cheap enough to take part posting by posting: their products are added to the
  // bounds, and sorted by group for the scores.
  void add_rare() {
    size_t postings = 0;
    for (const Scratch::RareRun& run : s_.rare) postings += run.end - run.begin;
    s_.turns.resize(postings);
    s_.addends.resize(postings);
    s_.first_addends.assign(groups_ + kSlack / kGroup + 1, 0);
    each_rare_run([&](const Scratch::RareRun& run, auto* weights, uint32_t* turns) {
      bound_rare(run, weights, turns);
    });
    // From how many each group has to where they begin.
    uint32_t begin = 0;
    for (uint32_t& first : s_.first_addends) {
      const uint32_t count = first;
      first = begin;
      begin += count;
    }
    each_rare_run([&](const Scratch::RareRun& run, auto* weights, const uint32_t* turns) {
      sort_rare(run, weights, turns);
    });
  }

  template <class Visit>
  void each_rare_run(const Visit& visit) {
    uint32_t* turns = s_.turns.data();
    for (const Scratch::RareRun& run : s_.rare) {
      const Weights& weights = index_.windows[run.window].weights;
      if (weights.wide)
        visit(run, static_cast<const uint16_t*>(weights.data) + run.begin, turns);
      else
        visit(run, static_cast<const uint8_t*>(weights.data) + run.begin, turns);
      turns += run.end - run.begin;
    }
  }

  // Adds a run to the bounds, counts its postings by group, and notes which of its group each is:
  // with counters alone, where one goes would have to wait for where the last one went.
  template <class Weight>
  void bound_rare(const Scratch::RareRun& run, const Weight* weights, uint32_t* turns) {
    const Window& window = index_.windows[run.window];
    const uint16_t* documents = window.documents.data + run.begin;
    uint16_t* bounds = s_.bounds.data() + window.first_group * kGroup;
    uint32_t* counts = s_.first_addends.data() + window.first_group;
    const uint32_t scale = scaled(run.weight);
    uint32_t last = UINT32_MAX, maximum = 0;
    for (size_t i = 0; i < run.end - run.begin; ++i) {
      const uint32_t block = documents[i] / kBlock;
      // A block's bound takes the largest of the term's weights in it, as the maxima do.
      const uint32_t before = block == last ? maximum : 0;
      maximum = std::max(before, (weights[i] * scale + 65535) >> 16);
      bounds[block] = static_cast<uint16_t>(bounds[block] + maximum - before);
      last = block;
      turns[i] = counts[block / kGroup]++;
    }
  }

  template <class Weight>
  void sort_rare(const Scratch::RareRun& run, const Weight* weights, const uint32_t* turns) {
    const Window& window = index_.windows[run.window];
    const uint16_t* documents = window.documents.data + run.begin;
    const uint32_t* firsts = s_.first_addends.data() + window.first_group;
    Addend* addends = s_.addends.data();
    for (size_t i = 0; i < run.end - run.begin; ++i) {
      const uint32_t group = documents[i] / kGroupDocuments;
      const uint32_t document = documents[i] % kGroupDocuments;
      addends[firsts[group] + turns[i]] = {document, run.weight * weights[i]};
    }
  }

  template <class Weight>
  static void fill_lut(const Weight* codebook, uint32_t scale, uint8_t* lut) {
    for (size_t code = 0; code < kCodes; ++code) {
      const uint32_t bound = (codebook[code] * scale + 65535) >> 16;
      lut[code] = static_cast<uint8_t>(bound < 255 ? bound : 255);
    }
  }

  void bound_blocks() {
    const size_t rows = s_.rows.size();
    s_.luts.resize((rows + 1) * kCodes);  // sets may take rows by twos
    for (size_t w = 0; w < index_.windows.size(); ++w) {
      const Window& window = index_.windows[w];
      for (size_t row = 0; row < rows; ++row) {
        const size_t i = s_.rows[row];
        const uint32_t place = query_.frequent_place(i, w);
        if (place == kAbsent) continue;  // no code of it is ever looked up
        const uint32_t scale = scaled(static_cast<uint32_t>(query_.scaled.weights[i]));
        uint8_t* lut = s_.luts.data() + row * kCodes;
        const size_t book = size_t{place} * kCodes;
        if (window.codebooks.wide)
          fill_lut(static_cast<const uint16_t*>(window.codebooks.data) + book, scale, lut);
        else
          fill_lut(static_cast<const uint8_t*>(window.codebooks.data) + book, scale, lut);
      }
      const size_t first = window.first_group;
      loops_.bound(s_.runs.data() + w * rows, s_.luts.data(), rows, window.groups,
                   s_.bounds.data() + first * kGroup, s_.peaks.data() + first);
    }
  }

  // The least bound of a block that may hold a document reaching the threshold.
  uint32_t least_bound() const { return (s_.top.threshold() + unit_ - 1) / unit_; }

  // The blocks of a group whose bounds reach `cut`.
  uint64_t survivors(size_t group, uint32_t cut) const {
    return loops_.at_least(s_.bounds.data() + group * kGroup, static_cast<uint16_t>(cut));
  }

  // Visit the groups with the best blocks first: they lift the threshold for all others.
  void visit_blocks() {
    for (const size_t rank : {kFirstGroups, kBestGroups + wanted_.k / 16})
      if (rank < groups_) visit(peak_at(rank));
    visit(0);
  }

  // The largest value that more than `rank` groups' best bounds reach.
  uint32_t peak_at(size_t rank) const {
    uint32_t reached = 0;
    for (uint32_t bit = 32768; bit != 0; bit /= 2) {
      size_t count = 0;
      for (size_t at = 0; at < groups_; at += kGroup)
        count += static_cast<size_t>(__builtin_popcountll(reaching(at, reached + bit)));
      if (count > rank) reached += bit;
    }
    return reached;
  }

  // Which of 64 groups have a best bound that reaches `cut`.
  uint64_t reaching(size_t at, uint32_t cut) const {
    return loops_.at_least(s_.peaks.data() + at, static_cast<uint16_t>(cut));
  }

  // Score the blocks that may still matter in the groups whose best bound reaches `cut`, once.
  void visit(uint32_t cut) {
    std::vector<uint32_t>& groups = s_.groups;
    groups.clear();
    cut = std::max(cut, least_bound());
    for (size_t at = 0; at < groups_; at += kGroup)
      for (uint64_t left = reaching(at, cut); left != 0; left &= left - 1)
        groups.push_back(static_cast<uint32_t>(at) + static_cast<uint32_t>(__builtin_ctzll(left)));
    for (size_t i = 0; i < groups.size(); ++i) {
      if (i + 1 < groups.size()) fetch_group(groups[i + 1]);
      const uint64_t wanted = survivors(groups[i], least_bound());
      s_.peaks[groups[i]] = 0;  // visited
      if (wanted != 0) score_group(groups[i], wanted);
    }
  }

  // Asks for the records of the group that is scored next: those of a large index are in no cache.
  void fetch_group(size_t group) const {
    const uint64_t wanted = survivors(group, least_bound());
    if (wanted == 0) return;
    const uint32_t w = index_.window_of_group[group];
    const size_t rows = s_.rows.size(), record = 2 * (group - index_.windows[w].first_group);
    for (size_t half = 0; half < 2; ++half) {
      if (static_cast<uint32_t>(wanted >> (kRecord * half)) == 0) continue;
      for (size_t row = 0; row < rows; ++row) {
        const uint8_t* at = record_at(s_.runs[w * rows + row], record + half, planes_);
        __builtin_prefetch(at);
        __builtin_prefetch(at + 64);
      }
    }
  }

  void scan() {
    for (size_t group = 0; group < groups_; ++group) score_group(group, ~uint64_t{0});
  }

  // Score blocks of a group.
  void score_group(size_t group, uint64_t wanted) {
    const uint32_t w = index_.window_of_group[group];
    const Window& window = index_.windows[w];
    const size_t rows = s_.rows.size();
    const Group task = {s_.runs.data() + w * rows,
                        s_.factors.data(),
                        s_.quads.data(),
                        rows,
                        group - window.first_group,
                        planes_,
                        wanted,
                        s_.addends.data() + s_.first_addends[group],
                        s_.first_addends[group + 1] - s_.first_addends[group],
                        s_.top.threshold()};
    const size_t found = loops_.score(task, s_.found, s_.found_scores);
    for (size_t i = 0; i < found; ++i) {
      if (s_.found[i] >= window.count) continue;  // of a damaged index
      const uint32_t document = window.first + s_.found[i];
      if (index_.alive[document >> 3] >> (document & 7) & 1)
        s_.top.offer(document, s_.found_scores[i]);
    }
    s_.top.lift();
  }

  const View& index_;
  const Query& query_;
  const Wanted& wanted_;
  const Loops& loops_;
  Scratch& s_;
  const unsigned planes_;
  const size_t groups_;
  uint64_t largest_score_ = 0;
  uint32_t unit_ = 1;
};

}  // namespace

void search(const View& index, const Query& query, const Wanted& wanted, const Loops& loops,
            Scratch& scratch) {
  if (index.lists) return count(index, query, wanted, loops, scratch);
  Searching(index, query, wanted, loops, scratch).run();
}

}  // namespace lsr::index
