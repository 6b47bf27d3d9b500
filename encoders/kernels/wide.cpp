#include "wide.h"

#include <algorithm>

#include "matrix.h"

namespace lsr::encoders {

constexpr size_t kTogether = 96;  // dimensions at a time: their weights stay in the cache

void largest_products(const Loops& loops, const float* weight, size_t dimensions, size_t width,
                      const float* hidden, size_t length, float* values) {
  thread_local PackedPositions positions;
  positions.pack(hidden, length, width);
  for (size_t first = 0; first < dimensions; first += kTogether) {
    const size_t count = std::min(kTogether, dimensions - first);
    const float* products = positions.products(loops, weight + first * width, count);
    for (size_t i = 0; i < count; ++i)
      values[first + i] = loops.maximum(products + i * positions.stride(), length);
  }
}

}  // namespace lsr::encoders
