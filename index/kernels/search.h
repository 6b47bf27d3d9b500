// Top-k over the windows of an index: exhaustive scan and block-max pruning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "loops.h"

namespace lsr {

// What a damaged index raises: bytes that cannot be followed safely.
struct Damaged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Method : int { kAuto = 0, kScan = 1, kPruned = 2 };

// One window: the columns of its batches in terms.arrow, postings.arrow and blocks.arrow.
// Weights, maxima and blocks are 8 or 16 bits wide, as the index says.
struct Window {
  const uint32_t* terms;
  const uint32_t* starts;
  const void* maxima;
  const int32_t* rows;
  size_t runs;
  const uint16_t* documents;
  const void* weights;
  const float* floats;  // null when not kept
  size_t postings;
  const void* blocks;
  size_t block_rows, row_length;
  uint32_t first;  // number of the window's first document in the index
  uint32_t count;  // documents
};

struct View {
  std::vector<Window> windows;
  bool wide;  // 16-bit weights
  const uint32_t* positions;
  const uint8_t* alive;
  size_t documents;
};

struct Hit {
  uint32_t score, position, document;
};

// Working memory of one thread; grows to what its largest query needs and stays.
struct Scratch {
  std::vector<uint32_t> sums = std::vector<uint32_t>(kWindow);
  std::vector<uint32_t> bounds;
  std::vector<uint16_t> selected = std::vector<uint16_t>(kWindow + 16);
  std::vector<uint16_t> survivors, visited;
  std::vector<uint16_t> slots = std::vector<uint16_t>(kWindow / kBlock, kNoSlot);
  std::vector<Hit> hits;
  static constexpr uint16_t kNoSlot = 0xFFFF;
};

struct Query {
  const uint32_t* terms;
  const int32_t* weights;  // 1 to 16,383; scaled so that no score reaches 2^31
  size_t size;
};

// Leave in scratch.hits the best k documents with a score of at least `floor` (>= 1), best
// first, ties by position.
void search(const View& index, const Query& query, size_t k, uint32_t floor, Method method,
            const Loops& loops, Scratch& scratch);

// Largest weight of a term in the whole index; 0 when no document has it.
uint32_t term_maximum(const View& index, uint32_t term);

// Place of a (document, term) posting in its window, or -1; `window` is set either way.
int64_t find_posting(const View& index, uint32_t document, uint32_t term, const Window** window);

}  // namespace lsr
