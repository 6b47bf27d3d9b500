// The inner loops of encoding, one set an instruction set.
//
// In scope: products of rows with packed weights, running maxima of 8-bit products, the row-wise
// steps of a transformer.
// Out of scope: which texts and layers, what is packed how big, candidates: bert.cpp and head.cpp,
// compiled once.
//
// Products of bytes are the same integers in every set.  Those of floats are sums over the inner
// dimension in ascending order, in one accumulator a value, whatever the number of rows: a row's
// result never depends on its neighbours.  Sets differ by fused or separate rounding.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lsr::encoders {

constexpr size_t kPanel = 32;      // columns that packed floats and bfloat16s hold side by side
constexpr size_t kBytePanel = 64;  // columns that packed bytes hold side by side
// Values of the inner dimension that are multiplied at once: a float, a pair or a quad.
template <class Value>
constexpr size_t kStep = sizeof(float) / sizeof(Value);
constexpr size_t kQuad = kStep<uint8_t>;
constexpr size_t kByteStep = 2 * kQuad;  // which the inner dimension of bytes is a multiple of

// Weights of one panel, `inner` x kPanel:
//   floats: [inner][kPanel];
//   bfloat16: [ceil(inner / 2)][kPanel][2];
//   signed bytes, kBytePanel wide: [2 ceil(inner / 8)][kBytePanel][4].
// Rows of a product are floats; bfloat16 (an even number of them); or unsigned bytes (a multiple of
// eight), as instructions multiply unsigned with signed ones.  What fills up the inner dimension of
// a panel is zero.

inline constexpr float kNoBias[kPanel] = {};

enum class Finish { kNone, kGelu };
enum class Precision { kFp32, kBf16, kInt8 };

// Some rows times a panel of weights: out[r][c] = finish(sum over k of rows[r][k] * panel[k][c] +
// bias[c]), for all columns of the panel.
template <class Row, class Weight>
struct Product {
  const Row* rows;
  size_t stride, count, inner;
  const Weight* panel;
  const float* bias;
  Finish finish;
  float* out;
  size_t out_stride;
};

// Rows and weights of `product_bytes` have seven bits, so that AVX2 can sum four products in 16
// bits: at most 4 x 127 x 64 = 32,512, which is below 32,768.
constexpr uint8_t kMostLevel = 127;
constexpr int8_t kMostWeight = 64;

// A row as bytes from its least value, or zero, to its largest, or zero: value ~ low + step * byte.
struct Levels {
  float low, step;
};

// The conversion of a panel's integers to real numbers: arrays of kBytePanel values.
struct ByteColumns {
  const float* sums;  // of a column's bytes
  const float* scales;
};

// Rows of bytes for `largest`, each x as x + 128, and the conversion of its integers.
struct ByteRows {
  const uint8_t* values;
  size_t stride;
};
struct ShiftedColumns {
  const int32_t* shifts;  // 128 x the sum of a column's bytes: what the + 128 added
  const float* scales;
};

// A logit is at most the product of the bytes + limit + the product of the slacks of the position
// with those of the term, number by number.  See screen.h.
constexpr size_t kSlacks = 3;
struct Bounds {
  ShiftedColumns columns;
  const float* limits;
  const float* term[kSlacks];
};
struct Slacks {
  float position[kSlacks];
};

struct Loops {
  void (*product)(const Product<float, float>& product);
  // Of bfloat16, summed in float32.
  void (*product_bf16)(const Product<uint16_t, uint16_t>& product);
  // Of bytes within kMostLevel and kMostWeight, in place of a sum: (step * integer + low * column's
  // sum) * column's scale.
  void (*product_bytes)(const Product<uint8_t, int8_t>& product, const Levels* row_levels,
                        const ByteColumns& columns);
  // best[c] = the largest integer of column c over all rows (at least one), kBytePanel columns of
  // weights that are within most_screened.
  void (*largest)(const ByteRows& rows, size_t count, size_t inner, const int8_t* panel,
                  int32_t* best);
  // Bit c tells that (best[c] - shift) * scale * column's scale + limits[c] + the product of
  // the slacks is above zero or not a number, for kBytePanel columns.
  uint64_t (*reaching)(const int32_t* best, float scale, const Slacks& slacks,
                       const Bounds& bounds);
  // Rounds a row to signed bytes: round(value / scale), within 127.
  void (*to_bytes)(const float* row, size_t width, float scale, int8_t* bytes);
  // Rounds a row to bytes within kMostLevel; `step` is not finite where a value is not.
  Levels (*to_levels)(const float* row, size_t width, uint8_t* bytes);
  // Rounds a row to bfloat16, ties to even.
  void (*to_bf16)(const float* row, size_t width, uint16_t* out);
  // row = (row + added - mean) / sqrt(variance + epsilon) * gamma + beta; `added` may be null.
  void (*normalize)(float* row, const float* added, size_t width, const float* gamma,
                    const float* beta, float epsilon);
  // row = exp(scale * row) / their sum, shifted by the largest so that none overflows.
  void (*softmax)(float* row, size_t width, float scale);
  // The largest of some values, at least one.
  float (*maximum)(const float* values, size_t count);
  int8_t most_screened;  // the largest weight that `largest` takes
};

extern const Loops kScalarLoops;
#ifdef LSR_X86
extern const Loops kAvx2Loops;
extern const Loops kAvxVnniLoops;
extern const Loops kAvx512Loops;
extern const Loops kAvx512Bf16Loops;
#endif
#ifdef LSR_ARM
extern const Loops kNeonLoops;
extern const Loops kNeonDotprodLoops;
#endif

}  // namespace lsr::encoders
