// The inner loops of search, one set an instruction set, all giving the same integers.
//
// In scope: loops over postings, block maxima and accumulators.  Out of scope: which windows
// and blocks to visit, top-k, ties: search.cpp, compiled once.
//
// Accumulators are unsigned 32-bit, so a sum over damaged postings wraps instead of being
// undefined; on a sound index a query's scale keeps every sum below 2^31.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lsr {

constexpr size_t kWindow = 65536;  // accumulators: one for every value of a 16-bit document
constexpr size_t kBlock = 8;       // documents a block

struct Loops {
  // sums[documents[i]] += query * weights[i]; `sums` has kWindow values.
  void (*add_run_u8)(uint32_t* sums, const uint16_t* documents, const uint8_t* weights, size_t n,
                     uint32_t query);
  void (*add_run_u16)(uint32_t* sums, const uint16_t* documents, const uint16_t* weights, size_t n,
                      uint32_t query);
  // bounds[i] += query * row[i]; n is a multiple of 64, query at most 16,383.
  void (*add_row_u8)(uint32_t* bounds, const uint8_t* row, size_t n, uint32_t query);
  void (*add_row_u16)(uint32_t* bounds, const uint16_t* row, size_t n, uint32_t query);
  // Write the i < n with values[i] >= threshold to `out` in ascending order; return how many.
  // threshold is 1 to 2^31 - 1, n at most kWindow; `out` holds n + 16.
  size_t (*select)(const uint32_t* values, size_t n, uint32_t threshold, uint16_t* out);
};

extern const Loops kScalarLoops;
#ifdef LSR_X86
extern const Loops kAvx2Loops;
extern const Loops kAvx512Loops;
#endif

// Plain versions; a unit that includes this compiles them for its own instruction set.
namespace {

// Scattered additions gain nothing from vectors here (conflicting lanes, a cache line each): every
// set uses this loop.
template <class Weight>
void add_run(uint32_t* __restrict sums, const uint16_t* __restrict documents,
             const Weight* __restrict weights, size_t n, uint32_t query) {
  for (size_t i = 0; i < n; ++i) sums[documents[i]] += query * weights[i];
}

template <class Weight>
[[maybe_unused]] void add_row(uint32_t* bounds, const Weight* row, size_t n, uint32_t query) {
  for (size_t i = 0; i < n; ++i) bounds[i] += query * row[i];
}

inline size_t select_plain(const uint32_t* values, size_t begin, size_t n, uint32_t threshold,
                           uint16_t* out, size_t found) {
  for (size_t i = begin; i < n; ++i) {
    // Written unconditionally, kept only if it counts: no branch to mispredict.
    out[found] = static_cast<uint16_t>(i);
    found += values[i] >= threshold && values[i] < 0x80000000u;
  }
  return found;
}

}  // namespace
}  // namespace lsr
