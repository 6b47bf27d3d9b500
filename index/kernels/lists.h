// Coded lists of the documents of a term (see lsr.index.lists); compiled into each set of loops, and
// for lookups.
#pragma once

#include "loops.h"

namespace lsr {
namespace {

constexpr size_t kOrderBits = 4;
constexpr unsigned kMostZeros = 15;  // before the one of a sound code

// Calls visit(document) for each document of a list, ascending, until it returns false.  Returns
// false when the bytes are no list, or a document is not below `count`.
//
// Whatever the bytes, no load reaches further than 8 bytes behind the last: kListsPadding.
template <class Visit>
inline bool walk(const List& list, uint32_t count, const Visit& visit) {
  if (list.begin >= list.end) return false;
  const unsigned order = *list.begin & 15;
  const size_t end = 8 * static_cast<size_t>(list.end - list.begin);
  // Of the document before the first, less what every gap has too much.
  uint64_t document = ~uint64_t{0};
  const uint64_t surplus = (uint64_t{1} << order) - 1;
  for (size_t at = kOrderBits;;) {
    uint64_t word;
    __builtin_memcpy(&word, list.begin + at / 8, 8);
    word >>= at % 8;
    // A one behind all that can be a code: without it there might be none to find.
    const auto zeros = static_cast<unsigned>(__builtin_ctzll(word | uint64_t{1} << 56));
    const size_t bits = zeros + order;
    const size_t next = at + zeros + 1 + bits;
    // Zeros fill the last byte, and no code has as many as reach beyond it.
    if (__builtin_expect(next > end, 0)) return end - at < 8 && at + zeros >= end;
    if (__builtin_expect(zeros > kMostZeros, 0)) return false;
    const uint64_t mask = (uint64_t{1} << bits) - 1;
    document += (word >> (zeros + 1) & mask) + mask + 1 - surplus;
    if (__builtin_expect(document >= count, 0)) return false;
    if (!visit(static_cast<uint32_t>(document))) return true;
    at = next;
  }
}

// Adds a query's weight to the sums of a list's documents.
inline bool add_list(const List& list, uint32_t weight, uint32_t count, uint32_t* sums) {
  return walk(list, count, [&](uint32_t document) {
    sums[document] += weight;
    return true;
  });
}

}  // namespace
}  // namespace lsr
