#include "postings.h"

#include <algorithm>

#include "lists.h"
#include "lookup.h"

namespace lsr::index {
namespace {

// What a term without postings in a window points to.
const uint64_t kNoBitmaps[kMostGroups] = {};
const uint16_t kNoRecords[2 * kMostGroups] = {};

constexpr uint8_t kBitmap = 0xF0;  // the first byte of one, instead of an order

// Binary search of several terms in step, so that the misses of one hide those of the others.
void find_all(const Column<uint32_t>& column, const uint32_t* terms, size_t size, uint32_t* places,
              size_t stride) {
  for (size_t i = 0; i < size; ++i) places[i * stride] = 0;
  for (size_t left = column.size; left > 1;) {
    const size_t half = left / 2;
    for (size_t i = 0; i < size; ++i) {
      // No branch, which would be mispredicted every other time.
      uint32_t& place = places[i * stride];
      const uint32_t step = 0u - static_cast<uint32_t>(column.data[place + half] <= terms[i]);
      place += static_cast<uint32_t>(half) & step;
    }
    left -= half;
  }
  for (size_t i = 0; i < size; ++i) {
    uint32_t& place = places[i * stride];
    if (column.size == 0 || column.data[place] != terms[i]) place = kAbsent;
  }
}

}  // namespace

const uint8_t kNoPostings[kPayloadPadding] = {};
const Run kNoRun = {kNoBitmaps, kNoRecords, kNoPostings, kNoPostings, 0, 0};

const Window& View::window_of(uint32_t document) const {
  const auto after = std::upper_bound(windows.begin(), windows.end(), document,
                                      [](uint32_t d, const Window& w) { return d < w.first; });
  return *(after - 1);  // the first window starts at document 0
}

size_t find(const Column<uint32_t>& terms, uint32_t term) {
  const uint32_t* end = terms.data + terms.size;
  const uint32_t* found = std::lower_bound(terms.data, end, term);
  return found != end && *found == term ? static_cast<size_t>(found - terms.data) : kNowhere;
}

std::pair<size_t, size_t> rare_run(const Window& window, size_t place) {
  const size_t begin = window.rare_starts[place];
  const size_t end = place + 1 < window.rare_terms.size ? window.rare_starts[place + 1]
                                                        : window.documents.size;
  if (begin > end || end > window.documents.size)
    throw Damaged("a run lies outside its postings");
  return {begin, end};
}

Run frequent_run(const Window& window, uint32_t place) {
  if (place == kAbsent) return kNoRun;
  const size_t maxima = window.maxima_starts[place], payload = window.payload_starts[place];
  // Two groups more than there are, for loads that reach beyond the last code.
  if (maxima + (window.groups + 2) * kGroupMaxima > window.maxima.size ||
      payload + kPayloadPadding > window.payload.size)
    throw Damaged("the blocks of a term lie outside its window");
  const size_t last = window.payload.size - kPayloadPadding - payload;
  const size_t end = place + 1 < window.frequent_terms.size ? window.maxima_starts[place + 1]
                                                            : window.maxima.size;
  return {window.bitmaps + size_t{place} * window.groups,
          window.records + size_t{place} * window.groups * 2,
          window.maxima.data + maxima,
          window.payload.data + payload,
          static_cast<uint32_t>(std::min<size_t>(last, kAbsent)),
          end > maxima ? static_cast<uint32_t>(end - maxima) : 0};
}

List list_of(const Window& window, size_t place) {
  const size_t last = window.lists.size - kListsPadding, begin = window.list_starts[place];
  const size_t end =
      place + 1 < window.rare_terms.size ? window.list_starts[place + 1] : last;
  if (begin >= end || end > last) throw Damaged("a list lies outside its window");
  return {window.lists.data + begin, window.lists.data + end};
}

bool is_bitmap(const Window& window, const List& list) {
  if (*list.begin != kBitmap) return false;
  if (static_cast<size_t>(list.end - list.begin) != 1 + (size_t{window.count} + 7) / 8)
    throw Damaged("a bitmap is not as long as its window");
  return true;
}

void locate(const View& index, const uint32_t* terms, size_t size, Located& located) {
  const size_t windows = index.windows.size();
  located.frequent.resize(size * windows);
  located.rare.resize(size * windows);
  located.maxima.assign(size, 0);
  for (size_t w = 0; w < windows; ++w) {
    const Window& window = index.windows[w];
    find_all(window.frequent_terms, terms, size, located.frequent.data() + w, windows);
    // A term is frequent or rare in a window, not both.
    std::vector<uint32_t>& others = located.scratch;
    others.clear();
    for (size_t i = 0; i < size; ++i)
      if (located.frequent[i * windows + w] == kAbsent) others.push_back(terms[i]);
    located.places.resize(others.size());
    find_all(window.rare_terms, others.data(), others.size(), located.places.data(), 1);
    for (size_t i = 0, other = 0; i < size; ++i)
      located.rare[i * windows + w] =
          located.frequent[i * windows + w] == kAbsent ? located.places[other++] : kAbsent;
    for (size_t i = 0; i < size; ++i) {
      const uint32_t frequent = located.frequent[i * windows + w];
      const uint32_t rare = located.rare[i * windows + w];
      if (frequent != kAbsent)
        located.maxima[i] = std::max(located.maxima[i],
                                     window.codebooks[frequent * kCodes + kCodes - 1]);
      else if (rare != kAbsent)
        located.maxima[i] = std::max(located.maxima[i], window.rare_maxima[rare]);
    }
  }
}

size_t first_float(const Window& window, size_t place, uint32_t local) {
  const size_t record = local / (kRecord * kBlock);
  return window.documents.size + window.first_postings[place] +
         window.ranks[place * window.groups * 2 + record];
}

Posting rare_posting(const Window& window, std::pair<size_t, size_t> run, uint32_t local) {
  const uint16_t* begin = window.documents.data + run.first;
  const uint16_t* end = window.documents.data + run.second;
  const uint16_t* found = std::lower_bound(begin, end, local);
  if (found == end || *found != local) return {0, 0};
  const auto place = static_cast<size_t>(found - window.documents.data);
  return {window.weights[place], place};
}

Posting find_posting(const Window& window, uint32_t document, uint32_t term) {
  const uint32_t local = document - window.first;
  const size_t place = find(window.frequent_terms, term);
  if (place != kNowhere) {
    const Run run = frequent_run(window, static_cast<uint32_t>(place));
    const Found found = find_in_record(run, local, window.planes());
    if (found.weight == nullptr) return {0, 0};
    uint32_t weight = found.weight[0];
    if (window.weights.wide) weight |= uint32_t{found.weight[found.plane]} << 8;
    if (window.floats.data == nullptr) return {weight, kNowhere};
    return {weight, first_float(window, place, local) + found.rank};
  }
  const size_t rare = find(window.rare_terms, term);
  if (rare == kNowhere) return {0, 0};
  if (window.lists.data != nullptr) {
    const List list = list_of(window, rare);
    if (is_bitmap(window, list)) return {list.begin[1 + local / 8] >> local % 8 & 1u, kNowhere};
    Cursor cursor(list);
    while (cursor.next(window.count))
      if (cursor.document >= local) return {cursor.document == local, kNowhere};
    if (!cursor.ends()) throw Damaged("a list of documents is damaged");
    return {0, 0};
  }
  return rare_posting(window, rare_run(window, rare), local);
}

}  // namespace lsr::index
