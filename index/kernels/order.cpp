#include "order.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace lsr::index {
namespace {

constexpr size_t kRounds = 8;          // of exchanges; more change the bounds by less than 2 %
constexpr size_t kLeastSwapped = 200;  // stop when fewer than one document in so many moved
constexpr size_t kLeaf = 8;            // documents of a block; their order does not matter

// log2, by a table for small integers, the usual case.
float log2_of(size_t x) {
  constexpr size_t kTable = 4096;
  static const std::vector<float> table = [] {
    std::vector<float> values(kTable);
    for (size_t i = 1; i < kTable; ++i) values[i] = std::log2(static_cast<float>(i));
    return values;
  }();
  return x < kTable ? table[x] : std::log2(static_cast<float>(x));
}

// A term's documents in the two halves, and the bits saved by moving one of them.
struct Degree {
  uint32_t left, right;
  uint32_t round;  // in which the gains were computed
  float from_left, from_right;
};

// Bits of a term's lists when `left` and `right` of its documents lie in halves of 2^log documents.
float cost(uint32_t left, uint32_t right, float log_left, float log_right) {
  return static_cast<float>(left) * (log_left - log2_of(left + 1)) +
         static_cast<float>(right) * (log_right - log2_of(right + 1));
}

// One a thread; all zero between splits.
struct Workspace {
  std::vector<Degree> degrees;
  std::vector<std::pair<float, uint32_t>> left, right;  // gain and position of each document
};

Workspace& workspace(size_t terms) {
  static thread_local Workspace kept;
  if (kept.degrees.size() < terms) kept.degrees.resize(terms);
  return kept;
}

}  // namespace

void Bisection::add(const int64_t* indptr, const uint32_t* terms, const float* weights,
                    size_t rows) {
  std::vector<std::pair<float, uint32_t>> row;
  for (size_t i = 0; i < rows; ++i) {
    row.clear();
    for (int64_t j = indptr[i]; j < indptr[i + 1]; ++j) row.emplace_back(-weights[j], terms[j]);
    const size_t kept = std::min(strongest_, row.size());
    if (kept < row.size())
      std::nth_element(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(kept), row.end());
    for (size_t j = 0; j < kept; ++j) {
      const auto id = static_cast<uint32_t>(term_ids_.size());
      terms_.push_back(term_ids_.emplace(row[j].second, id).first->second);
    }
    starts_.push_back(terms_.size());
  }
}

void Bisection::split(uint32_t* order, size_t n) const {
  const size_t half = n / 2;
  Workspace& work = workspace(term_ids_.size());
  std::vector<Degree>& degrees = work.degrees;
  auto for_terms = [&](uint32_t document, auto&& act) {
    for (uint64_t j = starts_[document]; j < starts_[document + 1]; ++j) act(degrees[terms_[j]]);
  };
  for (size_t i = 0; i < n; ++i)
    for_terms(order[i], [&](Degree& d) { ++(i < half ? d.left : d.right); });
  const float log_left = log2_of(half), log_right = log2_of(n - half);
  work.left.resize(half);
  work.right.resize(n - half);
  for (uint32_t round = 1; round <= kRounds; ++round) {
    // Gains are negated: the greatest come first, of equal ones the first document.
    auto gain = [&](uint32_t document, bool from_left) {
      float sum = 0;
      for_terms(document, [&](Degree& d) {
        if (d.round != round) {
          d.round = round;
          const float now = cost(d.left, d.right, log_left, log_right);
          d.from_left = d.left == 0 ? 0 : cost(d.left - 1, d.right + 1, log_left, log_right) - now;
          d.from_right =
              d.right == 0 ? 0 : cost(d.left + 1, d.right - 1, log_left, log_right) - now;
        }
        sum += from_left ? d.from_left : d.from_right;
      });
      return sum;
    };
    for (size_t i = 0; i < half; ++i)
      work.left[i] = {gain(order[i], true), static_cast<uint32_t>(i)};
    for (size_t i = half; i < n; ++i)
      work.right[i - half] = {gain(order[i], false), static_cast<uint32_t>(i)};
    std::sort(work.left.begin(), work.left.end());
    std::sort(work.right.begin(), work.right.end());
    size_t swapped = 0;
    while (swapped < half && work.left[swapped].first + work.right[swapped].first < 0) {
      uint32_t& a = order[work.left[swapped].second];
      uint32_t& b = order[work.right[swapped].second];
      for_terms(a, [](Degree& d) { --d.left, ++d.right; });
      for_terms(b, [](Degree& d) { ++d.left, --d.right; });
      std::swap(a, b);
      ++swapped;
    }
    if (swapped * kLeastSwapped < n) break;
  }
  for (size_t i = 0; i < n; ++i) for_terms(order[i], [](Degree& d) { d = Degree{}; });
}

void Bisection::finish(uint32_t* order, size_t n) const {
  if (n <= kLeaf) return;
  split(order, n);
  finish(order, n / 2);
  finish(order + n / 2, n - n / 2);
}

}  // namespace lsr::index
