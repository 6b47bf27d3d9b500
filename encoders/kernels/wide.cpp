#include "wide.h"

#include <algorithm>
#include <vector>

#include "matrix.h"

namespace lsr::encoders {
namespace {

constexpr size_t kTogether = 96;  // dimensions at a time: their weights stay in the cache

}  // namespace

void largest_products(const Loops& loops, const float* weight, size_t dimensions, size_t width,
                      const float* hidden, size_t length, float* values) {
  thread_local std::vector<float> positions, products;
  static const float no_bias[kPanel] = {};
  const size_t room = rounded_up(length, kPanel);
  // Dimensions are the rows of this product and positions its columns: weights need no packing.
  positions.resize(room * width);
  pack_floats(hidden, width, length, width, positions.data());
  products.resize(kTogether * room);
  for (size_t first = 0; first < dimensions; first += kTogether) {
    const size_t count = std::min(kTogether, dimensions - first);
    for (size_t column = 0; column < room; column += kPanel)
      loops.product(weight + first * width, width, count, width,
                    positions.data() + column * width, {no_bias, Finish::kNone},
                    products.data() + column, room);
    for (size_t i = 0; i < count; ++i)
      values[first + i] = loops.maximum(products.data() + i * room, length);
  }
}

}  // namespace lsr::encoders
