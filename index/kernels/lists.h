// Coded lists of the documents of a term (see lsr.index.postings.lists); compiled into each set of
// loops, and for lookups.
#pragma once

#include "loops.h"

namespace lsr::index {
namespace {

constexpr size_t kOrderBits = 4;

// A position in a list.  Whatever the bytes, no load reaches further than 8 bytes behind the last:
// kListsPadding.
struct Cursor {
  const uint8_t* bytes;
  size_t at, end;  // in bits
  unsigned order;
  uint64_t surplus;   // of a code's number over the distance to the next document
  uint64_t document;  // the last one; before the first, the one before 0

  explicit Cursor(const List& list)
      : bytes(list.begin),
        at(kOrderBits),
        end(8 * static_cast<size_t>(list.end - list.begin)),
        order(*list.begin >> 4),
        surplus((uint64_t{1} << order) - 1),
        document(~uint64_t{0}) {}
  Cursor() = default;

  // Goes to the next document; false at the end of the list, or of its sound part: then a document
  // is not below `count`, or `ends` is false.
  bool next(uint32_t count) {
    uint64_t word;
    __builtin_memcpy(&word, bytes + at / 8, 8);
    word = __builtin_bswap64(word) << at % 8;
    // Leading zeros do not change a number, so the whole code is read as one.  Codes of a sound
    // list have at most 31 bits; the values of longer ones do not matter.
    const auto zeros = static_cast<unsigned>(__builtin_clzll(word | 1));
    const unsigned bits = 2 * zeros + order + 1;
    const size_t after = at + bits;
    if (__builtin_expect(after > end, 0)) return false;
    document += (word >> (-bits & 63)) - surplus;
    if (__builtin_expect(document >= count, 0)) return false;
    at = after;
    return true;
  }

  // Whether a list from which no document is left ends as it should: zeros fill its last byte.
  bool ends() const {
    return end - at < 8 && (at == end || static_cast<uint8_t>(bytes[end / 8 - 1] << at % 8) == 0);
  }
};

// The bits of 64 documents from `first` on, a multiple of 64, of a bitmap; none from `count` on.
inline uint64_t bits_at(const List& list, uint32_t first, uint32_t count) {
  uint64_t word;
  __builtin_memcpy(&word, list.begin + 1 + first / 8, 8);
  return count - first < 64 ? word & ((uint64_t{1} << (count - first)) - 1) : word;
}

// Adds the lists' weights to the sums of their documents; no list is a bitmap.  A code's
// start is known when the one before is read, so several lists are read in turn to overlap the
// waits.
inline bool add_lists(const List* lists, const uint32_t* weights, size_t size, uint32_t count,
                      uint32_t* sums) {
  constexpr size_t kTogether = 4;
  Cursor cursors[kTogether];
  uint32_t factors[kTogether];
  size_t taken = 0, live = 0;
  for (; live < kTogether && taken < size; ++live, ++taken) {
    cursors[live] = Cursor(lists[taken]);
    factors[live] = weights[taken];
  }
  while (live == kTogether) {
#pragma GCC unroll 4
    for (size_t i = 0; i < kTogether; ++i) {
      if (__builtin_expect(cursors[i].next(count), 1)) {
        sums[cursors[i].document] += factors[i];
        continue;
      }
      if (!cursors[i].ends()) return false;
      if (taken < size) {
        cursors[i] = Cursor(lists[taken]);
        factors[i] = weights[taken++];
      } else {
        cursors[i] = cursors[--live];
        factors[i] = factors[live];
        break;
      }
    }
  }
  for (size_t i = 0; i < live; ++i) {
    while (cursors[i].next(count)) sums[cursors[i].document] += factors[i];
    if (!cursors[i].ends()) return false;
  }
  return true;
}

}  // namespace
}  // namespace lsr::index
