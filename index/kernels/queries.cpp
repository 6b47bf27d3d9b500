#include "queries.h"

#include <algorithm>
#include <cmath>

namespace lsr::index {
namespace {

constexpr double kQueryLevels = 16383;
constexpr double kScoreLimit = 2147483647;

}  // namespace

void scale(const Located& located, const uint32_t* terms, const float* weights, size_t size,
           double step, Scaled& scaled) {
  scaled.terms.clear();
  scaled.weights.clear();
  scaled.floats.clear();
  scaled.maxima.clear();
  scaled.term_indices.clear();
  scaled.unit = 1;
  double largest = 0, total = 0, limits = 0;
  for (size_t i = 0; i < size; ++i) {
    const uint32_t maximum = weights[i] > 0 ? located.maxima[i] : 0;
    if (maximum == 0) continue;
    const double weight = weights[i];
    scaled.terms.push_back(terms[i]);
    scaled.floats.push_back(weight);
    scaled.maxima.push_back(maximum);
    scaled.term_indices.push_back(static_cast<uint32_t>(i));
    // What the weight is worth in a score, before the unit is chosen.
    largest = std::max(largest, weight * step);
    total += weight * step * maximum;
    limits += maximum;
  }
  if (scaled.terms.empty()) return;
  // Rounding, and raising small weights to 1, adds at most 1 to an integer.
  const double room = kScoreLimit - limits;
  if (room <= 0)
    throw QueryTooLong("a query has too many terms for 32-bit scores; keep its strongest");
  int exponent;
  const double fraction = std::frexp(std::max(largest / kQueryLevels, total / room), &exponent);
  // fraction is in [.5, 1): the power of two above.
  scaled.unit = std::ldexp(1.0, fraction == 0.5 ? exponent - 1 : exponent);
  for (double weight : scaled.floats)
    scaled.weights.push_back(
        static_cast<int32_t>(std::max(std::nearbyint(weight * step / scaled.unit), 1.0)));
}

uint32_t Scaled::margin(double step, double error) const {
  // A float score f and its rounded form s * unit differ by at most
  //   e = sum of |w - w'| d' + w |d - d'|
  // (w query, d document, primes for the rounded).  So the float score of the integer k-th is at
  // least s_k * unit - e, and a document that beats it has an integer score of at least
  // s_k - 2 e / unit.
  double most = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    const double rounded = weights[i] * (unit / step);
    most += std::abs(floats[i] - rounded) * maxima[i] * step + floats[i] * error;
  }
  return static_cast<uint32_t>(std::min(std::ceil(2 * most * (1 + 1e-9) / unit) + 1, kScoreLimit));
}

}  // namespace lsr::index
