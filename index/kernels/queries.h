// Queries as integers, and what rounding them and the documents can change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "postings.h"

namespace lsr::index {

struct QueryTooLong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A query scaled as `lsr.index.postings.quantizer` says.
struct Scaled {
  std::vector<uint32_t> terms;         // those that the index has
  std::vector<int32_t> weights;        // 1 to 16,383
  std::vector<double> floats;          // their weights as given
  std::vector<uint32_t> maxima;        // largest stored weight of each
  std::vector<uint32_t> term_indices;  // of each in the query as given
  double unit;                         // of a score: a power of two

  // How far a document's integer score may lie below the k-th and its score by the weights as
  // given still be among the best k, in units.  `step` and `error` are the quantizer's.
  uint32_t margin(double step, double error) const;
};

// `located` are the query's terms, all of them.
void scale(const Located& located, const uint32_t* terms, const float* weights, size_t size,
           double step, Scaled& scaled);

}  // namespace lsr::index
