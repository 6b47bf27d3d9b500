// Top-k over the partitions of an index: exhaustive scan and block-max pruning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "loops.h"
#include "postings.h"
#include "queries.h"
#include "topk.h"

namespace lsr::index {

enum class Method : int { kAuto = 0, kScan = 1, kPruned = 2 };

struct Query {
  const Scaled& scaled;
  const Located& located;

  // The row of term i of the scaled query among a partition's dense or sparse terms, or kAbsent.
  uint32_t dense_row(size_t i, size_t partition) const {
    return located.dense[scaled.term_indices[i] * partitions() + partition];
  }
  uint32_t sparse_row(size_t i, size_t partition) const {
    return located.sparse[scaled.term_indices[i] * partitions() + partition];
  }

 private:
  size_t partitions() const { return located.dense.size() / located.maxima.size(); }
};

struct Wanted {
  size_t k;
  uint32_t margin;  // documents so far below the k-th are returned too
  Method method;
};

// Working memory of one thread; grows to what its largest query needs and stays.
struct Scratch {
  struct SparseRun {
    const Partition* partition;
    size_t begin, size;  // postings
    uint32_t weight;     // of the query
  };

  std::vector<uint32_t> rows;  // dense terms of the scaled query
  std::vector<Run> runs;
  std::vector<SparseRun> sparse;     // by partition ...
  std::vector<size_t> first_sparse;  // ... from here on, and the end
  std::vector<Slice> slices;         // of sparse runs, in a superblock
  std::vector<uint8_t> tables;
  std::vector<int16_t> factors;             // query weights by row ...
  std::vector<Quad> quads;                  // ... and by four rows, zeros behind the last
  std::vector<uint16_t> bounds;             // a value a block of the index
  std::vector<uint16_t> superblock_maxima;  // a value a superblock, rounded up to 64
  std::vector<uint16_t> sparse_starts;      // first posting of each sparse run in each superblock
  std::vector<uint32_t> superblocks;        // to be visited
  uint32_t candidates[kCandidateRoom], candidate_scores[kCandidateRoom];  // of a superblock
  std::vector<List> lists;             // coded ones of a partition ...
  std::vector<uint32_t> list_weights;  // ... and the query's weights of their terms
  std::vector<uint32_t> sums;          // of documents
  TopK top;
  // Of the hits that are scored again.
  struct Match {
    size_t hit, index;  // among weights as given
    double weight;      // the query's weight
  };
  std::vector<double> scores;
  std::vector<uint32_t> locals, ranks;
  std::vector<uint64_t> marked;   // which documents of a partition are hits, a bit each ...
  std::vector<uint32_t> earlier;  // ... and the first hit of each 64
  std::vector<Match> matches;
  std::vector<size_t> order;
};

// Leave in scratch.top.hits what is wanted of the query's documents, best first, ties by position.
void search(const View& index, const Query& query, const Wanted& wanted, const Loops& loops,
            Scratch& scratch);

// The same for an index without weights, whose lists are counted: see counting.cpp.
void count(const View& index, const Query& query, const Wanted& wanted, const Loops& loops,
           Scratch& scratch);

// Score the hits of the last search again, by the weights as given, and keep the best k, with their
// scores in scratch.scores.  Products are double precision and summed over ascending terms.
void rescore(const View& index, const Query& query, size_t k, const Loops& loops, Scratch& scratch);

}  // namespace lsr::index
