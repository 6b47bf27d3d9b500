#include "head.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace lsr::encoders {

namespace {

constexpr size_t kMostWords = size_t{1} << 20;  // of groups screened together
constexpr size_t kTogether = 96;  // terms computed at once: their weights stay in the cache

// Working memory, kept between calls; one a thread, so no lock is needed.
struct Scratch {
  std::vector<float> ordered, panels, weights, products, logits;
  std::vector<uint32_t> terms;
  std::vector<size_t> chosen;
};

float activated(float logit, Activation activation) {
  if (!(logit > 0)) return 0;
  if (activation == Activation::kRelu) return logit;
  const float once = std::log1p(logit);
  return activation == Activation::kLog1p ? once : std::log1p(once);
}

}  // namespace

Head::Head(const Loops& loops, const float* weight, const float* bias, size_t terms, size_t width)
    : loops_(loops),
      weight_(weight),
      terms_(terms),
      width_(width),
      bias_(bias, bias + terms),
      screen_(std::make_shared<Screen>(loops, weight, bias, terms, width)) {}

void Head::fit(const Basis& basis, const float* hidden, const int64_t* lengths, size_t texts) {
  auto fitted = std::make_shared<const Screen>(loops_, weight_, bias_.data(), terms_, width_, basis,
                                               texts_of(hidden, lengths, texts));
  const std::lock_guard<std::mutex> held(lock_);
  screen_ = std::move(fitted);
}

std::vector<Text> Head::texts_of(const float* hidden, const int64_t* lengths, size_t texts) const {
  std::vector<Text> all;
  for (size_t i = 0; i < texts; ++i) {
    all.push_back({hidden, static_cast<size_t>(lengths[i])});
    hidden += all.back().length * width_;
  }
  return all;
}

void Head::pool(const float* hidden, const int64_t* lengths, size_t texts, Pooling pooling,
                Activation activation, bool screened, Rows& rows) const {
  std::shared_ptr<const Screen> screen;
  {
    const std::lock_guard<std::mutex> held(lock_);
    screen = screen_;
  }
  const size_t most = kMostWords / screen->words();  // groups
  thread_local Found kept;
  Found& found = kept;  // looked up once
  for (size_t begin = 0; begin < texts;) {
    size_t end = begin, groups = 0;
    while (end < texts && (end == begin || groups < most))
      groups += (static_cast<size_t>(lengths[end++]) + kGroup - 1) / kGroup;
    const std::vector<Text> some = texts_of(hidden, lengths + begin, end - begin);
    if (screened)
      screen->find(some, found);
    else
      screen->find_all(some, found);
    for (size_t i = 0; i < some.size(); ++i) compute(some[i], found, i, pooling, activation, rows);
    hidden = some.back().hidden + some.back().length * width_;
    begin = end;
  }
}

void Head::compute(const Text& text, const Found& found, size_t number, Pooling pooling,
                   Activation activation, Rows& rows) const {
  thread_local Scratch kept;
  Scratch& scratch = kept;  // looked up once
  const size_t length = text.length, groups = found.groups(number);
  const uint32_t* order = found.positions(number);
  scratch.ordered.resize(length * width_);
  scratch.panels.resize(groups * kGroup * width_);
  scratch.weights.resize(kTogether * width_);
  scratch.products.resize(kTogether * kGroup);
  scratch.logits.resize(kTogether * length);
  float* ordered = scratch.ordered.data();
  for (size_t i = 0; i < length; ++i)
    std::memcpy(ordered + i * width_, text.hidden + order[i] * width_, width_ * sizeof(float));
  pack_floats(ordered, width_, length, width_, scratch.panels.data());

  std::vector<uint32_t>& terms = scratch.terms;
  std::vector<size_t>& chosen = scratch.chosen;
  float* logits = scratch.logits.data();
  terms.clear();
  const auto flush = [&] {
    // Where nothing is computed the logit is at most zero, and so adds nothing to either pooling.
    std::fill(logits, logits + terms.size() * length, -std::numeric_limits<float>::infinity());
    for (size_t group = 0; group < groups; ++group) {
      const uint64_t* bits = found.terms(number, group);
      chosen.clear();
      for (size_t i = 0; i < terms.size(); ++i) {
        if ((bits[terms[i] / 64] >> terms[i] % 64 & 1) == 0) continue;
        std::memcpy(scratch.weights.data() + chosen.size() * width_, weight_ + terms[i] * width_,
                    width_ * sizeof(float));
        chosen.push_back(i);
      }
      loops_.product({scratch.weights.data(), width_, chosen.size(), width_,
                      scratch.panels.data() + group * kGroup * width_, kNoBias, Finish::kNone,
                      scratch.products.data(), kGroup});
      const uint32_t* places = order + group * kGroup;
      const size_t count = std::min(kGroup, length - group * kGroup);
      for (size_t row = 0; row < chosen.size(); ++row)
        for (size_t i = 0; i < count; ++i)
          logits[chosen[row] * length + places[i]] = scratch.products[row * kGroup + i];
    }
    for (size_t i = 0; i < terms.size(); ++i) {
      const float* row = logits + i * length;
      const float bias = bias_[terms[i]];
      float weight = 0;
      if (pooling == Pooling::kMax) {
        // The bias is the same at every position and an activation never descends, so both can
        // wait until the maximum is taken.
        weight = activated(loops_.maximum(row, length) + bias, activation);
      } else {
        for (size_t p = 0; p < length; ++p) weight += activated(row[p] + bias, activation);
      }
      if (!(weight > 0)) continue;
      rows.terms.push_back(terms[i]);
      rows.weights.push_back(weight);
    }
    terms.clear();
  };
  for (size_t word = 0; word < found.words && length > 0; ++word) {
    uint64_t any = 0;
    for (size_t group = 0; group < groups; ++group) any |= found.terms(number, group)[word];
    for (; any != 0; any &= any - 1) {
      const size_t term = word * 64 + static_cast<size_t>(__builtin_ctzll(any));
      if (term >= terms_) break;
      terms.push_back(static_cast<uint32_t>(term));
      if (terms.size() == kTogether) flush();
    }
  }
  flush();
  rows.ends.push_back(static_cast<int64_t>(rows.terms.size()));
}

}  // namespace lsr::encoders
