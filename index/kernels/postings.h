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

// One partition: its batches of the segment's files (see lsr.index.format).
struct Partition {
  // Sparse terms: runs of postings.
  Column<uint32_t> sparse_terms;
  const uint32_t* sparse_starts;
  Weights sparse_maxima;
  Column<uint16_t> documents;
  Weights weights;
  // Dense terms: blocks of postings.
  Column<uint32_t> dense_terms;
  const uint32_t* first_postings;
  const uint32_t* payload_starts;
  Weights codebooks;
  const uint8_t* maxima;  // codes
  const uint16_t* chunks;
  Column<uint8_t> payload;

  // In an index without weights, `sparse_terms` are all terms, and these what they have instead of
  // all of the above: where their coded lists start, and the lists.
  const uint32_t* list_starts;
  Column<uint8_t> lists;

  // Weights as given, where kept: those of sparse terms, then of dense ones.
  Column<float> floats;
  const uint16_t* ranks;  // a value a chunk: the term's postings before it
  uint32_t first;         // docid of the partition's first document
  uint32_t count;         // documents
  uint32_t superblocks;
  uint32_t first_superblock;  // of the partition in the index

  unsigned planes() const { return weights.wide ? 2 : 1; }
};

struct View {
  std::vector<Partition> partitions;
  std::vector<uint32_t> partition_of_superblock;
  bool wide = false;   // 16-bit weights
  bool lists = false;  // coded lists without weights
  const uint32_t* positions = nullptr;
  const uint8_t* alive = nullptr;
  size_t documents = 0;

  const Partition& partition_of(uint32_t document) const;
};

constexpr size_t kNotFound = SIZE_MAX;
constexpr uint32_t kAbsent = UINT32_MAX;

// The row of a term among ascending ones, or kNotFound.
size_t find(const Column<uint32_t>& terms, uint32_t term);

// Begin and end of a sparse term's postings.  Throws Damaged when they are not in the partition.
std::pair<size_t, size_t> sparse_run(const Partition& partition, size_t row);

// The blocks of a dense term, or, for kAbsent, a run without any.  The checks here are all that
// the loops rely on: whatever the columns hold, no load leaves them.  Throws Damaged.
Run dense_run(const Partition& partition, uint32_t row);

// The coded list of a term.  Throws Damaged when it is not in the partition.
List list_of(const Partition& partition, size_t row);

// Whether such a list is a bitmap.  Throws Damaged when it is one of another length.
bool is_bitmap(const Partition& partition, const List& list);

// Where terms lie in each partition.
struct Located {
  std::vector<uint32_t> dense, sparse;  // [term * partitions + partition]: a row, or kAbsent
  std::vector<uint32_t> maxima;         // largest weight of each; 0 when no document has it
  std::vector<uint32_t> scratch, rows;
};

void locate(const View& index, const uint32_t* terms, size_t size, Located& located);

struct Posting {
  uint32_t weight;
  size_t index;  // in the partition's column of weights as given, where kept
};

// Where a dense term's postings in the chunk of a document (counted from the partition's first)
// begin in the column of weights as given, which must be kept.
size_t first_float(const Partition& partition, size_t row, uint32_t local);

// The posting of a document of a partition and a term; its weight is 0 when there is none.
Posting find_posting(const Partition& partition, uint32_t document, uint32_t term);

// The same for a sparse term.
Posting sparse_posting(const Partition& partition, std::pair<size_t, size_t> run, uint32_t local);

}  // namespace lsr::index
