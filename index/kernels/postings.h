// The columns of an index as the kernels see them, and the lookup of single postings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "loops.h"

namespace lsr::index {

// What a damaged index raises: bytes that cannot be followed safely.
struct Damaged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A column of weights, 8 or 16 bits wide as the index says; without data all are 1.
struct Weights {
  const void* data;
  bool wide;

  uint32_t operator[](size_t i) const {
    if (data == nullptr) return 1;
    return wide ? static_cast<const uint16_t*>(data)[i] : static_cast<const uint8_t*>(data)[i];
  }
};

template <class T>
struct Column {
  const T* data;
  size_t size;
};

// One window: its batches of the segment's files (see lsr.index.format).
struct Window {
  // Rare terms: runs of postings.
  Column<uint32_t> rare_terms;
  const uint32_t* rare_starts;
  Weights rare_maxima;
  Column<uint16_t> documents;
  Weights weights;
  // Frequent terms: blocks of postings.
  Column<uint32_t> frequent_terms;
  const uint32_t* first_postings;
  const uint32_t* maxima_starts;
  const uint32_t* payload_starts;
  Weights codebooks;
  const uint64_t* bitmaps;
  const uint16_t* records;
  Column<uint8_t> maxima;
  Column<uint8_t> payload;

  // In an index without weights, `rare_terms` are all terms, and these what they have instead of
  // all of the above: where their coded lists start, and the lists.
  const uint32_t* list_starts;
  Column<uint8_t> lists;

  // Weights as given, where kept: those of rare terms, then of frequent ones.
  Column<float> floats;
  const uint16_t* ranks;  // a value a record: the term's postings before it
  uint32_t first;        // number of the window's first document in the index
  uint32_t count;        // documents
  uint32_t groups;
  uint32_t first_group;  // of the window in the index

  unsigned planes() const { return weights.wide ? 2 : 1; }
};

struct View {
  std::vector<Window> windows;
  std::vector<uint32_t> window_of_group;
  bool wide = false;   // 16-bit weights
  bool lists = false;  // coded lists without weights
  const uint32_t* positions = nullptr;
  const uint8_t* alive = nullptr;
  size_t documents = 0;

  const Window& window_of(uint32_t document) const;
};

constexpr size_t kNowhere = SIZE_MAX;
constexpr uint32_t kAbsent = UINT32_MAX;

// The place of a term among ascending ones, or kNowhere.
size_t find(const Column<uint32_t>& terms, uint32_t term);

// Begin and end of a rare term's postings.  Throws Damaged when they are not in the window.
std::pair<size_t, size_t> rare_run(const Window& window, size_t place);

// The blocks of a frequent term, or, for kAbsent, a run without any.  The checks here are all that
// the loops rely on: whatever the columns hold, no load leaves them.  Throws Damaged.
Run frequent_run(const Window& window, uint32_t place);

// The coded list of a term.  Throws Damaged when it is not in the window.
List list_of(const Window& window, size_t place);

// Whether such a list is a bitmap.  Throws Damaged when it is one of another length.
bool is_bitmap(const Window& window, const List& list);

// Where terms lie in each window.
struct Located {
  std::vector<uint32_t> frequent, rare;  // [term * windows + window]: a place, or kAbsent
  std::vector<uint32_t> maxima;          // largest weight of each; 0 when no document has it
  std::vector<uint32_t> scratch, places;
};

void locate(const View& index, const uint32_t* terms, size_t size, Located& located);

struct Posting {
  uint32_t weight;
  size_t place;  // in the window's column of weights as given, where kept
};

// Where a frequent term's postings in the record of a document (counted from the window's first)
// begin in the column of weights as given, which must be kept.
size_t first_float(const Window& window, size_t place, uint32_t local);

// The posting of a document of a window and a term; its weight is 0 when there is none.
Posting find_posting(const Window& window, uint32_t document, uint32_t term);

// The same for a rare term.
Posting rare_posting(const Window& window, std::pair<size_t, size_t> run, uint32_t local);

}  // namespace lsr::index
