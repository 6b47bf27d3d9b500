// A very wide linear layer over the positions of a text: the maximum of each of its dimensions.
#pragma once

#include <cstddef>

#include "loops.h"

namespace lsr::encoders {

// values[d] = the largest of weight[d] . hidden[i] over positions i, of which there is at least
// one. weight: dimensions x width; hidden: length x width; both row-major and finite.  The products
// of all positions with all dimensions never exist as a whole.
void largest_products(const Loops& loops, const float* weight, size_t dimensions, size_t width,
                      const float* hidden, size_t length, float* values);

}  // namespace lsr::encoders
