#include "matrix.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "read.h"

namespace lsr::encoders {

float magnitude(const float* values, size_t count) {
  // Magnitudes are in the order of their bits, where what is not a number comes last.
  uint32_t most = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t bits = read<uint32_t>(values + i) & 0x7fffffffu;
    most = most < bits ? bits : most;
  }
  return read<float>(&most);
}

float byte_scale(float magnitude, int8_t most) {
  return magnitude == 0 ? 1.0f : magnitude / static_cast<float>(most);
}

void QuantizedRows::resize(size_t count, size_t width) {
  width_ = width;
  inner_ = rounded_up(width, kByteStep);
  values_.resize(count * inner_);
  row_.assign(inner_, 0);
}

const int8_t* QuantizedRows::set(const Loops& loops, size_t row, const float* values, float scale) {
  const size_t inner = inner_;  // bytes may alias members, and then these are read every time
  int8_t* bytes = row_.data();
  uint8_t* to = values_.data() + row * inner;
  loops.to_bytes(values, width_, scale, bytes);
  for (size_t k = 0; k < inner; ++k) to[k] = static_cast<uint8_t>(bytes[k] + 128);
  return bytes;
}

void pack_bytes(const int8_t* row, size_t depth, size_t column, int8_t* panel) {
  for (size_t k = 0; k < depth; k += kQuad)
    std::memcpy(panel + k * kBytePanel + column * kQuad, row + k, kQuad);
}

PackedBytes::PackedBytes(const Loops& loops, const float* weight, size_t columns, size_t width)
    : panels(rounded_up(columns, kBytePanel) * rounded_up(width, kByteStep), 0),
      sums(rounded_up(columns, kBytePanel), 0.0f),
      scales(rounded_up(columns, kBytePanel), 0.0f),
      inner(rounded_up(width, kByteStep)) {
  std::vector<int8_t> bytes(inner, 0);
  for (size_t column = 0; column < columns; ++column) {
    const float* from = weight + column * width;
    scales[column] = byte_scale(magnitude(from, width), kMostWeight);
    loops.to_bytes(from, width, scales[column], bytes.data());
    sums[column] = static_cast<float>(std::accumulate(bytes.begin(), bytes.end(), int32_t{0}));
    const size_t place = column % kBytePanel;
    pack_bytes(bytes.data(), inner, place, panels.data() + (column - place) * inner);
  }
}

void pack_floats(const float* weight, size_t stride, size_t columns, size_t width, float* panels) {
  for (size_t first = 0; first < columns; first += kPanel, panels += width * kPanel) {
    const size_t here = columns - first < kPanel ? columns - first : kPanel;
    if (here < kPanel) std::memset(panels, 0, width * kPanel * sizeof(float));
    for (size_t column = 0; column < here; ++column) {
      const float* from = weight + (first + column) * stride;
      for (size_t k = 0; k < width; ++k) panels[k * kPanel + column] = from[k];
    }
  }
}

void PackedPositions::pack(const float* hidden, size_t length, size_t width) {
  length_ = length;
  width_ = width;
  panels_.resize(stride() * width);
  pack_floats(hidden, width, length, width, panels_.data());
}

const float* PackedPositions::products(const Loops& loops, const float* weights, size_t count) {
  products_.resize(std::max(products_.size(), count * stride()));
  for (size_t first = 0; first < stride(); first += kPanel)
    loops.product({weights, width_, count, width_, panels_.data() + first * width_, kNoBias,
                   Finish::kNone, products_.data() + first, stride()});
  return products_.data();
}

Linear::Linear(const Loops& loops, Precision precision, const float* weight, const float* bias,
               size_t columns, size_t width)
    : precision_(precision), columns_(columns), width_(width), bias_(row_room(columns), 0.0f) {
  std::memcpy(bias_.data(), bias, columns * sizeof(float));
  if (precision == Precision::kInt8) {
    bytes_ = PackedBytes(loops, weight, columns, width);
  } else if (precision == Precision::kFp32) {
    floats_.resize(rounded_up(columns, kPanel) * width);
    pack_floats(weight, width, columns, width, floats_.data());
  } else {
    const size_t inner = rounded_up(width, 2);
    halves_.assign(rounded_up(columns, kPanel) * inner, 0);
    std::vector<uint16_t> row(width);
    for (size_t column = 0; column < columns; ++column) {
      loops.to_bf16(weight + column * width, width, row.data());
      uint16_t* to = halves_.data() + column / kPanel * kPanel * inner + column % kPanel * 2;
      for (size_t k = 0; k < width; ++k) to[k / 2 * kPanel * 2 + k % 2] = row[k];
    }
  }
}

void Linear::apply(const Loops& loops, const float* rows, size_t stride, size_t count,
                   Finish finish, float* out, size_t out_stride) const {
  // A panel at a time for all rows: it stays in the first caches, and weights that fit in none
  // are read from memory once.
  if (precision_ == Precision::kInt8) {
    thread_local std::vector<uint8_t> bytes;
    thread_local std::vector<Levels> levels;
    bytes.assign(count * bytes_.inner, 0);
    levels.resize(count);
    for (size_t row = 0; row < count; ++row)
      levels[row] = loops.to_levels(rows + row * stride, width_, bytes.data() + row * bytes_.inner);
    for (size_t first = 0; first < columns_; first += kBytePanel)
      loops.product_bytes({bytes.data(), bytes_.inner, count, bytes_.inner, bytes_.panel(first),
                           bias_.data() + first, finish, out + first, out_stride},
                          levels.data(), bytes_.from(first));
  } else if (precision_ == Precision::kFp32) {
    for (size_t first = 0; first < columns_; first += kPanel)
      loops.product({rows, stride, count, width_, floats_.data() + first * width_,
                     bias_.data() + first, finish, out + first, out_stride});
  } else {
    const size_t inner = rounded_up(width_, 2);
    thread_local std::vector<uint16_t> halves;
    halves.assign(count * inner, 0);
    for (size_t row = 0; row < count; ++row)
      loops.to_bf16(rows + row * stride, width_, halves.data() + row * inner);
    for (size_t first = 0; first < columns_; first += kPanel)
      loops.product_bf16({halves.data(), inner, count, inner, halves_.data() + first * inner,
                          bias_.data() + first, finish, out + first, out_stride});
  }
}

}  // namespace lsr::encoders
