#include "search.h"

#include <algorithm>

namespace lsr {

void rescore(const View& index, const Query& query, size_t k, Scratch& scratch,
             std::vector<double>& scores) {
  std::vector<Hit>& hits = scratch.top.hits;
  const size_t rows = scratch.rows.size(), size = query.scaled.terms.size();
  // Documents in order, so that neighbours share cache lines.
  std::sort(hits.begin(), hits.end(),
            [](const Hit& a, const Hit& b) { return a.document < b.document; });
  std::vector<double>& products = scratch.products;
  products.assign(hits.size() * size, 0);
  std::vector<uint32_t> before(kMostRecords);
  auto add = [&](const Window& window, size_t hit, size_t i, const Posting& posting) {
    if (posting.weight == 0) return;
    if (posting.place >= window.floats.size) throw Damaged("a weight as given is missing");
    products[hit * size + i] = query.scaled.given[i] * double{window.floats.data[posting.place]};
  };
  size_t end = 0;
  for (size_t begin = 0; begin < hits.size(); begin = end) {
    const Window& window = index.window_of(hits[begin].document);
    const auto w = static_cast<size_t>(&window - index.windows.data());
    while (end < hits.size() && hits[end].document - window.first < window.count) ++end;
    for (size_t row = 0; row < rows; ++row) {
      const size_t i = scratch.rows[row].query;
      const uint32_t place = query.frequent_place(i, w);
      if (place == kAbsent) continue;
      const Run& run = scratch.runs[w * rows + row];
      masks_before(window, run, before.data());
      for (size_t hit = begin; hit < end; ++hit)
        add(window, hit, i,
            frequent_posting(window, run, place, hits[hit].document - window.first, before.data()));
    }
    for (const Scratch::RareRun& rare : scratch.rare) {
      if (rare.window != w) continue;
      for (size_t hit = begin; hit < end; ++hit)
        add(window, hit, rare.query,
            rare_posting(window, {rare.begin, rare.end}, hits[hit].document - window.first));
    }
  }
  std::vector<std::pair<double, size_t>> order(hits.size());
  for (size_t hit = 0; hit < hits.size(); ++hit) {
    double sum = 0;  // over ascending terms: one order, for reproducible scores
    for (size_t i = 0; i < size; ++i) sum += products[hit * size + i];
    order[hit] = {sum, hit};
  }
  const size_t kept = std::min(k, hits.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                    [&](const auto& a, const auto& b) {
                      if (a.first != b.first) return a.first > b.first;
                      return index.positions[hits[a.second].document] <
                             index.positions[hits[b.second].document];
                    });
  std::vector<Hit> best(kept);
  scores.resize(kept);
  for (size_t i = 0; i < kept; ++i) {
    scores[i] = order[i].first;
    best[i] = hits[order[i].second];
  }
  hits.swap(best);
}

}  // namespace lsr
