#include "search.h"

#include <algorithm>

namespace lsr {
namespace {

// The scores of a window's hits by the weights as given, added up over ascending terms.
class Rescoring {
 public:
  Rescoring(const View& index, const Query& query, const Loops& loops, Scratch& scratch)
      : index_(index), query_(query), loops_(loops), s_(scratch) {}

  // Hits [begin, end) lie in window w, in order of documents.
  void score(size_t w, size_t begin, size_t end) {
    const Window& window = index_.windows[w];
    const size_t count = end - begin;
    s_.locals.resize(count);
    s_.ranks.resize(count);
    s_.places.resize(count);
    for (size_t i = 0; i < count; ++i)
      s_.locals[i] = s_.top.hits[begin + i].document - window.first;
    for (size_t term = 0; term < query_.scaled.terms.size(); ++term) {
      const uint32_t frequent = query_.frequent_place(term, w), rare = query_.rare_place(term, w);
      if (frequent != kAbsent) {
        loops_.ranks(frequent_run(window, frequent), s_.locals.data(), count, window.planes(),
                     s_.ranks.data());
        for (size_t i = 0; i < count; ++i)
          s_.places[i] = s_.ranks[i] == kNoRank
                             ? kNowhere
                             : first_float(window, frequent, s_.locals[i]) + s_.ranks[i];
      } else if (rare != kAbsent) {
        find_rare(window, rare_run(window, rare));
      } else {
        continue;
      }
      add(window, query_.scaled.given[term], s_.scores.data() + begin);
    }
  }

 private:
  void find_rare(const Window& window, std::pair<size_t, size_t> run) {
    const uint16_t* at = window.documents.data + run.first;
    const uint16_t* end = window.documents.data + run.second;
    for (size_t i = 0; i < s_.locals.size(); ++i) {
      at = std::lower_bound(at, end, s_.locals[i]);
      const bool found = at != end && *at == s_.locals[i];
      s_.places[i] = found ? static_cast<size_t>(at - window.documents.data) : kNowhere;
    }
  }

  void add(const Window& window, double given, double* scores) {
    // Neighbouring documents share lines, others miss: ask for all before the first is used.
    for (const size_t place : s_.places) {
      if (place == kNowhere) continue;
      if (place >= window.floats.size) throw Damaged("a weight as given is missing");
      __builtin_prefetch(window.floats.data + place);
    }
    for (size_t i = 0; i < s_.places.size(); ++i)
      if (s_.places[i] != kNowhere) scores[i] += given * double{window.floats.data[s_.places[i]]};
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
    const Window& window = index.window_of(hits[begin].document);
    while (end < hits.size() && hits[end].document - window.first < window.count) ++end;
    rescoring.score(static_cast<size_t>(&window - index.windows.data()), begin, end);
  }
  std::vector<size_t>& order = scratch.order;
  order.resize(hits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const size_t kept = std::min(k, hits.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                    [&](size_t a, size_t b) {
                      if (scratch.scores[a] != scratch.scores[b])
                        return scratch.scores[a] > scratch.scores[b];
                      return index.positions[hits[a].document] < index.positions[hits[b].document];
                    });
  std::vector<Hit> best(kept);
  std::vector<double> scores(kept);
  for (size_t i = 0; i < kept; ++i) {
    best[i] = hits[order[i]];
    scores[i] = scratch.scores[order[i]];
  }
  hits.swap(best);
  scratch.scores.swap(scores);
}

}  // namespace lsr
