#include "screen.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace lsr::encoders {
namespace {

constexpr size_t kDepths = 16;      // that a fitted panel has to choose from
constexpr double kSecondTry = 2.5;  // cost of a retried term, in products of all its bytes
constexpr size_t kBlock = 256;      // terms transformed at once
constexpr size_t kTogether = 32;    // panels; see find()

double length_of(const float* values, size_t count) {
  double squares = 0;
  for (size_t k = 0; k < count; ++k) squares += static_cast<double>(values[k]) * values[k];
  return std::sqrt(squares);
}

// Twice the relative error of a float32 sum of `width` products and a few more operations, for the
// logit and for its bound: a term that is screened out stays out however its logit is rounded.
double slack(size_t width) { return 2.0 * static_cast<double>(width + 16) / (1 << 24); }

// Whether errors are relative: products of such values neither overflow nor lose bits at the lower
// end of the range of floats.  Terms with other values, or NaN, are never screened out.
bool ordinary(double scale, double length) { return scale >= 1e-17 && length <= 1e18; }

constexpr float kAlways = std::numeric_limits<float>::infinity();

// The length of (matrix' inverse - 1): how far a product of transformed vectors is from that of the
// vectors, as a share of their lengths.
double mismatch(const Basis& basis, size_t width) {
  std::vector<double> row(width);
  double squares = 0;
  for (size_t i = 0; i < width; ++i) {
    std::fill(row.begin(), row.end(), 0.0);
    for (size_t k = 0; k < width; ++k) {
      const double factor = basis.matrix[k * width + i];
      for (size_t j = 0; j < width; ++j) row[j] += factor * basis.inverse[k * width + j];
    }
    row[i] -= 1;
    for (const double value : row) squares += value * value;
  }
  return std::sqrt(squares);
}

}  // namespace

// Texts in the screen's coordinates.
struct Screen::Rounded {
  struct Group {
    size_t first, count;  // rows
    float scale;          // that of its text
  };
  struct Squares {
    double kept = 0, lost = 0, rest = 0;  // the most of any position of a group
  };
  QuantizedRows rows;
  std::vector<Group> groups;   // of all texts
  std::vector<Slacks> slacks;  // a group and depth
  // Room for one text.
  std::vector<float> transformed, rests;
  std::vector<Squares> squares;
};

// Working memory, kept between calls; one a thread, so no lock is needed.
struct Screen::Scratch {
  Rounded rounded;
  Panel retried;
  std::vector<std::vector<uint32_t>> retries;  // places to try in all dimensions, a group
};

Screen::Screen(const Loops& loops, const float* weight, const float* bias, size_t terms,
               size_t width)
    : loops_(loops), width_(width), inner_(rounded_up(width, kByteStep)), depths_({inner_}) {
  terms_.reserve(terms);
  bytes_.reserve(terms * inner_);
  for (size_t term = 0; term < terms; ++term) add_term(weight + term * width, bias[term], 0);
  add_panels([](size_t, size_t) { return 0; });
  bytes_ = {};  // nothing is tried twice
}

Screen::Screen(const Loops& loops, const float* weight, const float* bias, size_t terms,
               size_t width, const Basis& basis, const std::vector<Text>& sample)
    : loops_(loops), width_(width), inner_(rounded_up(width, kByteStep)), transformed_(true) {
  const double size = length_of(basis.matrix, width * width);
  const double wrong = mismatch(basis, width);
  if (!(wrong < 0.1)) throw std::invalid_argument("the basis does not undo itself");
  // The largest error of a product, as a share of |h| |w'|, w' = inverse w, by the rounding of
  // transformed states and of the logit, and by a basis that undoes itself only nearly:
  // w = matrix' w', nearly, so |w| is at most |matrix| |w'| / (1 - wrong).
  uncertain_ = 1.2 * size * (2 * slack(width) + wrong);
  mean_length_ = length_of(basis.mean, width);
  std::vector<float> origin(width);
  for (size_t i = 0; i < width; ++i)
    origin[i] = static_cast<float>(
        -std::inner_product(basis.mean, basis.mean + width, basis.matrix + i * width, 0.0));
  transform_ = Linear(loops, Precision::kFp32, basis.matrix, origin.data(), width, width);

  const std::vector<float> no_bias(width);
  const Linear inverse(loops, Precision::kFp32, basis.inverse, no_bias.data(), width, width);
  const double uncertain = slack(width) * length_of(basis.inverse, width * width);
  const size_t stride = row_room(width);
  std::vector<float> block(kBlock * stride);
  terms_.reserve(terms);
  bytes_.reserve(terms * inner_);
  for (size_t first = 0; first < terms; first += kBlock) {
    const size_t count = std::min(kBlock, terms - first);
    const float* rows = weight + first * width;
    inverse.apply(loops, rows, width, count, Finish::kNone, block.data(), stride);
    for (size_t i = 0; i < count; ++i, rows += width) {
      const double middle = std::inner_product(basis.mean, basis.mean + width, rows, 0.0);
      const double length = length_of(rows, width);
      add_term(block.data() + i * stride, bias[first + i] + middle, uncertain * length);
      // The logit itself is summed from the original weights and the states with their mean.
      Term& term = terms_.back();
      term.limit =
          ordinary(length, length)
              ? term.limit + static_cast<float>(slack(width) * (std::fabs(middle) +
                                                                2 * std::fabs(bias[first + i])))
              : kAlways;
    }
  }
  choose_depths(sample);
}

// Depths for panels, an order that puts terms of like needs into the same panel, and the panels.
void Screen::choose_depths(const std::vector<Text>& sample) {
  const size_t terms = terms_.size();
  const size_t step = rounded_up(std::max<size_t>(1, inner_ / kDepths), kByteStep);
  for (size_t depth = step; depth < inner_; depth += step) depths_.push_back(depth);
  depths_.push_back(inner_);

  // The cost of each term at each depth.
  Rounded rounded;
  Found found;
  round(sample, rounded, found);
  const auto positions = static_cast<double>(found.order.size());
  std::vector<std::vector<float>> costs;
  for (size_t depth = 0; depth < depths_.size(); ++depth) {
    costs.emplace_back(terms, static_cast<float>(depths_[depth]));
    if (depths_[depth] == inner_) break;
    const double again = kSecondTry * static_cast<double>(inner_) / positions;
    panels_.clear();
    add_panels([depth](size_t, size_t) { return depth; });
    for (size_t p = 0; p < panels_.size(); ++p)
      for (size_t group = 0; group < rounded.groups.size(); ++group)
        for (uint64_t mask = reached(panels_[p], rounded, group); mask != 0; mask &= mask - 1)
          costs[depth][p * kBytePanel + static_cast<size_t>(__builtin_ctzll(mask))] +=
              static_cast<float>(again * static_cast<double>(rounded.groups[group].count));
  }
  // The best depth for some terms of the order that they come to be in.
  const auto cheapest = [&](size_t first, size_t count) {
    size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t depth = 0; depth < depths_.size(); ++depth) {
      double cost = 0;
      for (size_t i = first; i < first + count; ++i) cost += costs[depth][order_[i]];
      if (cost < least) {
        least = cost;
        best = depth;
      }
    }
    return best;
  };
  std::vector<size_t> best(terms);
  for (size_t term = 0; term < terms; ++term) best[term] = cheapest(term, 1);
  std::stable_sort(order_.begin(), order_.end(),
                   [&](uint32_t a, uint32_t b) { return best[a] < best[b]; });
  std::vector<Term> sorted;
  std::vector<int8_t> bytes;
  for (const uint32_t term : order_) {
    sorted.push_back(terms_[term]);
    bytes.insert(bytes.end(), bytes_.begin() + static_cast<ptrdiff_t>(term * inner_),
                 bytes_.begin() + static_cast<ptrdiff_t>((term + 1) * inner_));
  }
  terms_ = std::move(sorted);
  bytes_ = std::move(bytes);
  panels_.clear();
  add_panels(cheapest);
}

// `uncertain`: how far these weights may be from the exact ones.
void Screen::add_term(const float* weights, double bias, double uncertain) {
  const float scale = byte_scale(magnitude(weights, width_), loops_.most_screened);
  const size_t start = bytes_.size();
  bytes_.resize(start + inner_, 0);
  int8_t* bytes = bytes_.data() + start;
  loops_.to_bytes(weights, width_, scale, bytes);
  double kept = 0, lost = 0;
  for (size_t k = 0; k < width_; ++k) {
    const double value = static_cast<double>(scale) * bytes[k];
    kept += value * value;
    lost += (weights[k] - value) * (weights[k] - value);
  }
  order_.push_back(static_cast<uint32_t>(terms_.size()));
  lost = std::sqrt(lost) + uncertain;
  const double norm = std::sqrt(kept) + lost;  // at least |w|
  terms_.push_back(
      {scale,
       ordinary(scale, norm) ? static_cast<float>(bias + slack(width_) * std::fabs(bias)) : kAlways,
       static_cast<float>(norm), static_cast<float>(lost),
       128 * std::accumulate(bytes, bytes + inner_, int32_t{0})});
}

// Panels of all terms, each of the depth for (its first place, how many terms it has).
template <class Depth>
void Screen::add_panels(const Depth& depth) {
  uint32_t places[kBytePanel];
  for (size_t first = 0; first < terms_.size(); first += kBytePanel) {
    const size_t count = std::min(kBytePanel, terms_.size() - first);
    std::iota(places, places + count, static_cast<uint32_t>(first));
    panels_.emplace_back();
    fill(panels_.back(), places, count, depth(first, count));
  }
}

void Screen::fill(Panel& panel, const uint32_t* places, size_t count, size_t depth) const {
  const size_t taken = depths_[depth];
  panel.depth = depth;
  panel.count = count;
  panel.bytes.resize(taken * kBytePanel);
  for (size_t i = 0; i < count; ++i) {
    const Term& term = terms_[places[i]];
    const int8_t* bytes = bytes_.data() + places[i] * inner_;
    pack_bytes(bytes, taken, i, panel.bytes.data());
    int32_t sum = 0, squares = 0;
    for (size_t k = taken; k < inner_; ++k) {
      sum += bytes[k];
      squares += bytes[k] * bytes[k];
    }
    panel.shifts[i] = term.shift - 128 * sum;
    panel.scales[i] = term.scale;
    panel.limits[i] = term.limit;
    panel.slacks[0][i] = term.norm;
    panel.slacks[1][i] = term.lost;
    panel.slacks[2][i] =
        term.scale * std::sqrt(static_cast<float>(squares)) * 1.000001f + term.lost;
  }
}

// Sorts positions by what they have in the last dimensions, the most first: the few that have by
// far the most do not spoil the bounds of the others.
void Screen::sort(const float* states, size_t stride, size_t length, Rounded& rounded,
                  uint32_t* order) const {
  std::vector<float>& rests = rounded.rests;
  rests.resize(length);
  for (size_t i = 0; i < length; ++i) {
    const double rest = length_of(states + i * stride + width_ / 2, width_ - width_ / 2);
    rests[i] = rest <= 1e18 ? static_cast<float>(rest) : kAlways;  // also when it is no number
  }
  std::sort(order, order + length, [&](uint32_t a, uint32_t b) {
    return rests[a] > rests[b] || (rests[a] == rests[b] && a < b);
  });
}

void Screen::round(const std::vector<Text>& texts, Rounded& rounded, Found& found) const {
  std::vector<float>& transformed = rounded.transformed;
  std::vector<Rounded::Squares>& squares = rounded.squares;
  const size_t stride = transformed_ ? row_room(width_) : width_;
  found.start(texts, words());
  rounded.rows.resize(found.order.size(), width_);
  rounded.groups.clear();
  rounded.slacks.clear();
  size_t row = 0;
  for (size_t t = 0; t < texts.size(); ++t) {
    const Text& text = texts[t];
    if (text.length == 0) continue;
    const float* states = text.hidden;
    uint32_t* order = found.order.data() + found.firsts[t];
    if (transformed_) {
      transformed.resize(text.length * stride);
      transform_.apply(loops_, text.hidden, width_, text.length, Finish::kNone, transformed.data(),
                       stride);
      states = transformed.data();
      sort(states, stride, text.length, rounded, order);
    }
    // One scale a text, so that the integers of its positions can be compared.
    float most = 0;
    for (size_t i = 0; i < text.length; ++i) {
      const float size = magnitude(states + i * stride, width_);
      most = size <= most ? most : size;
    }
    const float scale = byte_scale(most);
    for (size_t first = 0; first < text.length; first += kGroup) {
      const size_t end = std::min(first + kGroup, text.length);
      rounded.groups.push_back({row, end - first, scale});
      squares.assign(depths_.size(), {});
      double longest = 0, transformed_longest = 0;
      bool usual = true;
      for (size_t i = first; i < end; ++i, ++row) {
        const float* values = states + order[i] * stride;
        const int8_t* bytes = rounded.rows.set(loops_, row, values, scale);
        const double length = transformed_ ? length_of(text.hidden + order[i] * width_, width_) : 0;
        const double whole = length_of(values, width_);
        usual &= ordinary(scale, 2 * whole) &&
                 (!transformed_ || ordinary(length, length + mean_length_));
        longest = std::max(longest, length);
        transformed_longest = std::max(transformed_longest, whole);
        double kept = 0, lost = 0, taken = 0;
        size_t k = 0;
        for (size_t depth = 0; depth < depths_.size(); ++depth) {
          for (const size_t last = std::min(width_, depths_[depth]); k < last; ++k) {
            const double value = static_cast<double>(scale) * bytes[k];
            const double away = values[k] - value;
            kept += value * value;
            lost += away * away;
            taken += static_cast<double>(values[k]) * values[k];
          }
          Rounded::Squares& worst = squares[depth];
          worst.kept = std::max(worst.kept, kept);
          worst.lost = std::max(worst.lost, lost);
          worst.rest = std::max(worst.rest, whole * whole - taken);
        }
      }
      for (const Rounded::Squares& worst : squares) {
        const double norm = std::sqrt(worst.kept), error = std::sqrt(worst.lost);
        const double off = slack(width_) * (norm + error + transformed_longest) +
                           uncertain_ * (longest + mean_length_);
        rounded.slacks.push_back(
            {{usual ? static_cast<float>(error + off) : kAlways, static_cast<float>(norm),
              static_cast<float>(std::sqrt(worst.rest) + 1e-6 * transformed_longest)}});
      }
    }
  }
}

uint64_t Screen::reached(const Panel& panel, const Rounded& rounded, size_t group) const {
  const Bounds bounds = {{panel.shifts, panel.scales},
                         panel.limits,
                         {panel.slacks[0], panel.slacks[1], panel.slacks[2]}};
  const auto& [first, count, scale] = rounded.groups[group];
  int32_t best[kBytePanel];
  loops_.largest(rounded.rows.from(first), count, depths_[panel.depth], panel.bytes.data(), best);
  const uint64_t mask =
      loops_.reaching(best, scale, rounded.slacks[group * depths_.size() + panel.depth], bounds);
  return panel.count == kBytePanel ? mask : mask & ((uint64_t{1} << panel.count) - 1);
}

void Screen::find_all(const std::vector<Text>& texts, Found& found) const {
  found.start(texts, words());
  found.bits.assign(found.starts.back() * found.words, ~uint64_t{0});
}

void Screen::find(const std::vector<Text>& texts, Found& found) const {
  thread_local Scratch scratch;
  Rounded& rounded = scratch.rounded;
  Panel& retried = scratch.retried;
  std::vector<std::vector<uint32_t>>& retries = scratch.retries;
  round(texts, rounded, found);
  const size_t groups = rounded.groups.size();
  found.bits.assign(groups * found.words, 0);
  retries.resize(std::max(retries.size(), groups));

  const size_t whole = depths_.size() - 1;
  const auto set = [&](size_t group, uint32_t term) {
    found.bits[group * found.words + term / 64] |= uint64_t{1} << term % 64;
  };
  const auto retry = [&](size_t group, size_t least) {
    std::vector<uint32_t>& places = retries[group];
    while (places.size() >= least) {
      const size_t count = std::min(kBytePanel, places.size());
      const uint32_t* last = places.data() + places.size() - count;
      fill(retried, last, count, whole);
      for (uint64_t mask = reached(retried, rounded, group); mask != 0; mask &= mask - 1)
        set(group, order_[last[__builtin_ctzll(mask)]]);
      places.resize(places.size() - count);
    }
  };
  // Some panels at a time for all groups, so that they and the rows that are tried again stay in
  // the second cache.
  for (size_t first = 0; first < panels_.size(); first += kTogether)
    for (size_t group = 0; group < groups; ++group) {
      for (size_t p = first; p < std::min(first + kTogether, panels_.size()); ++p)
        for (uint64_t mask = reached(panels_[p], rounded, group); mask != 0; mask &= mask - 1) {
          const auto place =
              static_cast<uint32_t>(p * kBytePanel) + static_cast<uint32_t>(__builtin_ctzll(mask));
          if (panels_[p].depth == whole) {
            set(group, order_[place]);
            continue;
          }
          for (size_t k = 0; k < inner_; k += 64) __builtin_prefetch(&bytes_[place * inner_ + k]);
          retries[group].push_back(place);
        }
      retry(group, kBytePanel);
    }
  for (size_t group = 0; group < groups; ++group) retry(group, 1);
}

}  // namespace lsr::encoders
