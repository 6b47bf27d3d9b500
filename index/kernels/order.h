// Recursive graph bisection: an order of documents in which neighbours share terms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace lsr::index {

// Dhulipala et al., "Compressing Graphs and Indexes with Recursive Graph Bisection" (KDD 2016),
// with the exchange of documents in pairs and the early stop of Mackenzie, Petri and Moffat,
// "Tradeoff Options for Bipartite Graph Partitioning" (TKDE 2022).
//
// Block-max pruning gains because the terms of a block's documents coincide: its bound then comes
// close to what one document of it scores.
class Bisection {
 public:
  // Documents are compared by their `strongest` terms of the largest weights.
  explicit Bisection(size_t strongest) : strongest_(strongest) {}

  // Append documents: rows of a matrix in compressed form, `indptr` of `rows` + 1 values.
  void add(const int64_t* indptr, const uint32_t* terms, const float* weights, size_t rows);

  size_t documents() const { return starts_.size() - 1; }

  // Arrange order[0, n), numbers of documents, into two halves with few common terms.
  void split(uint32_t* order, size_t n) const;

  // The same for the halves, their halves and so on down to single blocks.
  void finish(uint32_t* order, size_t n) const;

 private:
  size_t strongest_;
  std::vector<uint64_t> starts_ = {0};
  std::vector<uint32_t> terms_;  // numbered by first appearance
  std::unordered_map<uint32_t, uint32_t> term_ids_;
};

}  // namespace lsr::index
