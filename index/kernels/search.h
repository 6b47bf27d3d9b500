// Top-k over the windows of an index: exhaustive scan and block-max pruning.
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

  // The place of term i of the scaled query among a window's frequent or rare terms, or kAbsent.
  uint32_t frequent_place(size_t i, size_t window) const {
    return located.frequent[scaled.places[i] * windows() + window];
  }
  uint32_t rare_place(size_t i, size_t window) const {
    return located.rare[scaled.places[i] * windows() + window];
  }

 private:
  size_t windows() const { return located.frequent.size() / located.maxima.size(); }
};

struct Wanted {
  size_t k;
  uint32_t margin;  // documents so far below the k-th are returned too
  Method method;
};

// Working memory of one thread; grows to what its largest query needs and stays.
struct Scratch {
  struct RareRun {
    size_t begin, end;
    uint32_t window, weight;
  };

  std::vector<uint32_t> rows;  // frequent terms of the scaled query
  std::vector<Run> runs;
  std::vector<RareRun> rare;
  std::vector<uint8_t> luts;
  std::vector<int16_t> factors;  // query weights by row ...
  std::vector<Quad> quads;       // ... and by four rows, zeros behind the last
  std::vector<uint16_t> bounds;         // a value a block of the index
  std::vector<uint16_t> peaks;          // a value a group, rounded up to 64
  std::vector<uint32_t> turns;          // of a rare posting among those of its group
  std::vector<Addend> addends;          // by group ...
  std::vector<uint32_t> first_addends;  // ... from here on
  std::vector<uint32_t> groups;  // to be visited
  uint32_t found[kFoundRoom], found_scores[kFoundRoom];  // of a group
  std::vector<List> lists;             // coded ones of a window ...
  std::vector<uint32_t> list_weights;  // ... and the query's weights of their terms
  std::vector<uint32_t> sums;          // of the window's documents
  TopK top;
  // Of the hits that are scored again.
  struct Match {
    size_t hit, place;  // among weights as given
    double given;       // the query's weight
  };
  std::vector<double> scores;
  std::vector<uint32_t> locals, ranks;
  std::vector<uint64_t> marked;   // which documents of a window are hits, a bit each ...
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
