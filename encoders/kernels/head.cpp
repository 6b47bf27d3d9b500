#include "head.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lsr::encoders {

namespace {

constexpr size_t kMostWords = size_t{1} << 20;  // of texts screened together
constexpr size_t kTogether = 96;  // terms computed at once: their weights stay in the cache

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
  const size_t words = screen->words();
  const size_t together = std::max<size_t>(1, kMostWords / words);
  thread_local std::vector<uint64_t> found;
  for (size_t begin = 0; begin < texts; begin += together) {
    const std::vector<Text> group =
        texts_of(hidden, lengths + begin, std::min(together, texts - begin));
    found.assign(group.size() * words, screened ? 0 : ~uint64_t{0});
    if (screened) screen->find(group, found.data());
    for (size_t i = 0; i < group.size(); ++i)
      compute(group[i], found.data() + i * words, pooling, activation, rows);
    hidden = group.back().hidden + group.back().length * width_;
  }
}

void Head::compute(const Text& text, const uint64_t* found, Pooling pooling, Activation activation,
                   Rows& rows) const {
  thread_local PackedPositions positions;
  thread_local std::vector<float> weights;
  thread_local std::vector<uint32_t> terms;
  positions.pack(text.hidden, text.length, width_);
  weights.resize(kTogether * width_);
  terms.clear();
  const auto flush = [&] {
    for (size_t i = 0; i < terms.size(); ++i)
      std::memcpy(weights.data() + i * width_, weight_ + terms[i] * width_, width_ * sizeof(float));
    const float* logits = positions.products(loops_, weights.data(), terms.size());
    for (size_t i = 0; i < terms.size(); ++i) {
      const float* row = logits + i * positions.stride();
      const float bias = bias_[terms[i]];
      float weight = 0;
      if (pooling == Pooling::kMax) {
        // The bias is the same at every position and an activation never descends, so both can
        // wait until the maximum is taken.
        weight = activated(loops_.maximum(row, text.length) + bias, activation);
      } else {
        for (size_t p = 0; p < text.length; ++p) weight += activated(row[p] + bias, activation);
      }
      if (!(weight > 0)) continue;
      rows.terms.push_back(terms[i]);
      rows.weights.push_back(weight);
    }
    terms.clear();
  };
  for (size_t first = 0; first < terms_ && text.length > 0; first += 64) {
    for (uint64_t word = found[first / 64]; word != 0; word &= word - 1) {
      const size_t term = first + static_cast<size_t>(__builtin_ctzll(word));
      if (term >= terms_) break;
      terms.push_back(static_cast<uint32_t>(term));
      if (terms.size() == kTogether) flush();
    }
  }
  flush();
  rows.ends.push_back(static_cast<int64_t>(rows.terms.size()));
}

}  // namespace lsr::encoders
