#include "head.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace lsr::encoding {

// The positions of a text.
struct Head::Text {
  const float* hidden;
  size_t first, length;  // counted in the rows of all texts that are screened together
};

namespace {

constexpr size_t kMostMasks = size_t{1} << 20;  // of texts screened together
constexpr size_t kTogether = 96;  // terms computed at once: their weights stay in the cache

float activated(float logit, Activation activation) {
  if (!(logit > 0)) return 0;
  if (activation == Activation::kRelu) return logit;
  const float once = std::log1p(logit);
  return activation == Activation::kLog1p ? once : std::log1p(once);
}

struct Norms {
  double kept = 0, lost = 0;  // |scale * rounded| and |exact - scale * rounded|
};

Norms norms_of(const float* exact, const int8_t* rounded, float scale, size_t width) {
  double kept = 0, lost = 0;
  for (size_t k = 0; k < width; ++k) {
    const double value = static_cast<double>(scale) * rounded[k];
    kept += value * value;
    lost += (exact[k] - value) * (exact[k] - value);
  }
  return {std::sqrt(kept), std::sqrt(lost)};
}

// Twice the relative error of a float32 sum of `width` products and a few more operations, of
// the logit as of its bound: what is screened out is so however the logit is rounded.
double slack(size_t width) { return 2.0 * static_cast<double>(width + 16) / (1 << 24); }

// Whether errors are relative: products of what is so neither overflow nor lose bits at the lower
// end of the range of floats.  What is not so is never screened out.
bool ordinary(float scale, const Norms& norms) {
  return scale >= 1e-17f && norms.kept + norms.lost <= 1e18;
}

}  // namespace

Head::Head(const Loops& loops, const float* weight, const float* bias, size_t terms, size_t width)
    : loops_(loops),
      weight_(weight),
      terms_(terms),
      width_(width),
      bias_(bias, bias + terms),
      bytes_(loops, weight, terms, width),
      limits_(bytes_.scales.size(), -std::numeric_limits<float>::infinity()),
      norms_(bytes_.scales.size(), 0.0f),
      errors_(bytes_.scales.size(), 0.0f) {
  std::vector<int8_t> rounded(width);
  for (size_t term = 0; term < terms; ++term) {
    const float* row = weight + term * width;
    loops.to_bytes(row, width, bytes_.scales[term], rounded.data());
    const Norms norms = norms_of(row, rounded.data(), bytes_.scales[term], width);
    limits_[term] = ordinary(bytes_.scales[term], norms)
                        ? static_cast<float>(bias[term] + slack(width) * std::fabs(bias[term]))
                        : std::numeric_limits<float>::infinity();
    norms_[term] = static_cast<float>(norms.kept + norms.lost);  // at least |w|
    errors_[term] = static_cast<float>(norms.lost);
  }
}

void Head::pool(const float* hidden, const int64_t* lengths, size_t texts, Pooling pooling,
                Activation activation, bool screened, Rows& rows) const {
  const size_t panels = limits_.size() / kBytePanel;
  const size_t together = std::max<size_t>(1, kMostMasks / panels);
  thread_local std::vector<uint64_t> masks;
  std::vector<Text> group;
  for (size_t begin = 0; begin < texts; begin += together) {
    group.clear();
    size_t first = 0;
    for (size_t i = begin; i < std::min(texts, begin + together); ++i) {
      const auto length = static_cast<size_t>(lengths[i]);
      group.push_back({hidden, first, length});
      hidden += length * width_;
      first += length;
    }
    masks.assign(group.size() * panels, screened ? 0 : ~uint64_t{0});
    if (screened) screen(group, masks);
    for (size_t i = 0; i < group.size(); ++i)
      compute(group[i], masks.data() + i * panels, pooling, activation, rows);
  }
}

void Head::screen(const std::vector<Text>& texts, std::vector<uint64_t>& masks) const {
  struct Rounding {
    float scale, error, norm;
  };
  thread_local QuantizedRows rows;
  rows.resize(texts.back().first + texts.back().length, width_);
  std::vector<Rounding> roundings;
  for (const Text& text : texts) {
    // One scale a text, so that the integers of its positions can be compared.
    const float scale = byte_scale(text.hidden, text.length * width_);
    double error = 0, norm = 0;
    for (size_t i = 0; i < text.length; ++i) {
      const float* row = text.hidden + i * width_;
      rows.set(loops_, text.first + i, row, scale);
      const Norms norms = norms_of(row, rows.bytes(text.first + i), scale, width_);
      error = std::max(error, ordinary(scale, norms)
                                  ? norms.lost + slack(width_) * (norms.kept + norms.lost)
                                  : std::numeric_limits<double>::infinity());
      norm = std::max(norm, norms.kept);
    }
    roundings.push_back({scale, static_cast<float>(error), static_cast<float>(norm)});
  }
  const size_t panels = limits_.size() / kBytePanel;
  int32_t best[kBytePanel];
  for (size_t panel = 0; panel < panels; ++panel) {
    const size_t term = panel * kBytePanel;
    const Bounds bounds = {bytes_.scales.data() + term, limits_.data() + term,
                           norms_.data() + term, errors_.data() + term};
    for (size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].length == 0) continue;
      loops_.largest(rows.from(texts[i].first), texts[i].length, bytes_.inner, bytes_.panel(term),
                     best);
      const Rounding& rounding = roundings[i];
      masks[i * panels + panel] =
          loops_.reaching(best, rounding.scale, rounding.error, rounding.norm, bounds);
    }
  }
}

void Head::compute(const Text& text, const uint64_t* masks, Pooling pooling,
                   Activation activation, Rows& rows) const {
  thread_local std::vector<float> positions, weights, logits;
  thread_local std::vector<uint32_t> terms;
  static const float no_bias[kPanel] = {};
  const size_t room = rounded_up(text.length, kPanel);
  // Terms are the rows of this product and positions its columns: rows need not be packed.
  positions.resize(room * width_);
  pack_floats(text.hidden, width_, text.length, width_, positions.data());
  weights.resize(kTogether * width_);
  logits.resize(kTogether * room);
  terms.clear();
  const auto flush = [&] {
    for (size_t i = 0; i < terms.size(); ++i)
      std::memcpy(weights.data() + i * width_, weight_ + terms[i] * width_,
                  width_ * sizeof(float));
    for (size_t first = 0; first < room; first += kPanel)
      loops_.product(weights.data(), width_, terms.size(), width_,
                     positions.data() + first * width_, {no_bias, Finish::kNone},
                     logits.data() + first, room);
    for (size_t i = 0; i < terms.size(); ++i) {
      const float* row = logits.data() + i * room;
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
  for (size_t term = 0; term < terms_ && text.length > 0; term += kBytePanel) {
    for (uint64_t mask = masks[term / kBytePanel]; mask != 0; mask &= mask - 1) {
      const size_t found = term + static_cast<size_t>(__builtin_ctzll(mask));
      if (found >= terms_) break;
      terms.push_back(static_cast<uint32_t>(found));
      if (terms.size() == kTogether) flush();
    }
  }
  flush();
  rows.ends.push_back(static_cast<int64_t>(rows.terms.size()));
}

}  // namespace lsr::encoding
