// Weights packed for the loops, and linear layers over them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "loops.h"

namespace lsr::encoders {

inline size_t rounded_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Rows that a Linear writes have room for whole panels of either kind.
inline size_t row_room(size_t columns) { return rounded_up(columns, kBytePanel); }

// The largest magnitude of some values; not a number where one is none.
float magnitude(const float* values, size_t count);

// The scale that makes such a magnitude `most`; 1 where it is zero, and not a number where it is
// none, so that no product hides it.
float byte_scale(float magnitude, int8_t most = 127);

// Rows as bytes for `largest`: round(value / scale) + 128.
class QuantizedRows {
 public:
  void resize(size_t count, size_t width);
  // Returns the bytes, still signed, until the next call.
  const int8_t* set(const Loops& loops, size_t row, const float* values, float scale);
  ByteRows from(size_t row) const { return {values_.data() + row * inner_, inner_}; }

 private:
  size_t width_ = 0, inner_ = 0;
  std::vector<uint8_t> values_;
  std::vector<int8_t> row_;
};

// Puts `depth` bytes (whole quads) of a row of weights into a column of a panel.
void pack_bytes(const int8_t* row, size_t depth, size_t column, int8_t* panel);

// A matrix as panels of bytes within kMostWeight, each of its rows by a scale of its own: the
// columns of the product.  A row of integers times a scale, of which the largest is kMostWeight, is
// packed without another rounding.
struct PackedBytes {
  PackedBytes() = default;
  PackedBytes(const Loops& loops, const float* weight, size_t columns, size_t width);
  const int8_t* panel(size_t column) const { return panels.data() + column * inner; }
  ByteColumns from(size_t column) const { return {sums.data() + column, scales.data() + column}; }

  std::vector<int8_t> panels;
  std::vector<float> sums, scales;  // padded to whole panels
  size_t inner = 0;                 // the width, padded to whole steps
};

// Packs `columns` rows of a matrix, `stride` apart, as panels of floats.
void pack_floats(const float* weight, size_t stride, size_t columns, size_t width, float* panels);

// A text's positions as the columns of products, whose rows are weights that need no packing.
class PackedPositions {
 public:
  // hidden: length x width, row-major.
  void pack(const float* hidden, size_t length, size_t width);
  // The products of `count` rows of weights, stride() values a row, until the next call.
  const float* products(const Loops& loops, const float* weights, size_t count);
  size_t stride() const { return rounded_up(length_, kPanel); }

 private:
  size_t length_ = 0, width_ = 0;
  std::vector<float> panels_, products_;
};

// A linear layer: out = finish(rows * weight' + bias), in one of three precisions.  In the lower
// ones rows and weights are rounded; sums are exact (bytes) or float32 (bfloat16).
class Linear {
 public:
  Linear() = default;
  // weight: columns x width, row-major; bias: columns.  Both are copied.
  Linear(const Loops& loops, Precision precision, const float* weight, const float* bias,
         size_t columns, size_t width);
  // Rows of `out` have room for row_room(columns) values.
  void apply(const Loops& loops, const float* rows, size_t stride, size_t count, Finish finish,
             float* out, size_t out_stride) const;

 private:
  Precision precision_ = Precision::kFp32;
  size_t columns_ = 0, width_ = 0;
  std::vector<float> bias_;
  std::vector<float> floats_;
  std::vector<uint16_t> halves_;
  PackedBytes bytes_;
};

}  // namespace lsr::encoders
