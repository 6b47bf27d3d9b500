// The loops of encoding over vectors of any width.  A unit that includes this defines before, in
// an unnamed namespace of lsr:
//
//   kLanes                          floats a vector
//   Vec, Ints                       GCC vectors of floats and of int32_t
//   kRows, kByteRows                rows that the registers hold accumulators for
//   Vec fma(Vec a, Vec b, Vec c)    a * b + c
//   Bytes, Byte                     kLanes quads of weights, one quad of a row, made ready by
//   Bytes weights_at(const int8_t*), Byte input_at(const uint8_t*)
//   Ints dot(Ints sum, const Bytes&, const Byte&)   sum + the products of the quads
//   kShiftsBytes                    whether input_at shifts bytes, zeros too
//   uint32_t signs(Ints)            bit i is the sign of lane i
//   Vec load_part(const float*, size_t count), void store_part(float*, Vec, size_t count)
//                                   the first so many lanes, or all: others are zero, or not stored
//   void store_bytes(void*, Ints, size_t count)
//                                   the lowest byte of the first so many lanes, or all
//   kByteVectors                    how many Bytes the registers hold at once
//   kMostScreened                   the largest weight of `largest`.  Below 127, multiply_small is
//                                   what multiplies bytes, and Bytes and the rest are not needed
//
// and in a unit with an instruction for pairs of bfloat16 what is below under __AVX512BF16__.
//
// It includes no standard-library template that another unit could share (see CMakeLists.txt).
#pragma once

#include <cstring>

#include "loops.h"
#include "read.h"

namespace lsr::encoders {
namespace {

constexpr size_t kVectors = 2;                  // a row's accumulators
constexpr size_t kColumns = kVectors * kLanes;  // that one pass takes of a panel
constexpr size_t kByteColumns = kByteVectors * kLanes;
static_assert(kPanel % kColumns == 0 && kBytePanel % kByteColumns == 0, "a panel is whole passes");

inline Vec load(const float* from) { return read<Vec>(from); }
inline void store(float* to, Vec v) { std::memcpy(to, &v, sizeof v); }
inline Vec all(float value) { return value - Vec{}; }
inline Ints all(int32_t value) { return value - Ints{}; }
inline Ints bits_of(Vec v) { return reinterpret_cast<Ints>(v); }
inline Vec floats_of(Ints v) { return reinterpret_cast<Vec>(v); }
inline Ints larger(Ints a, Ints b) { return a > b ? a : b; }
inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }
inline Vec smaller(Vec a, Vec b) { return a < b ? a : b; }

// Halves are put onto each other until one lane is left: few steps that wait for one another.
template <class Join>
inline float folded(Vec v, Join join) {
  float lanes[kLanes];
  store(lanes, v);
  for (size_t half = kLanes / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; ++i) lanes[i] = join(lanes[i], lanes[i + half]);
  return lanes[0];
}
inline float sum(Vec v) {
  return folded(v, [](float a, float b) { return a + b; });
}
inline float largest_lane(Vec v) {
  return folded(v, [](float a, float b) { return a < b ? b : a; });
}
inline float smallest_lane(Vec v) {
  return folded(v, [](float a, float b) { return b < a ? b : a; });
}

// Operands of a product of floats; those of other types are overloads.
inline Vec weights_at(const float* from) { return load(from); }
inline Vec input_at(const float* from) { return all(*from); }
inline Vec dot(Vec sum, const Vec& w, const Vec& x) { return fma(x, w, sum); }

#ifndef __AVX512BF16__

// Pairs of bfloat16, which are the upper halves of floats.
struct Pairs {
  Vec even, odd;
};
using Pair = Pairs;

inline Pairs split(Ints bits) { return {floats_of(bits << 16), floats_of(bits & -65536)}; }
inline Pairs weights_at(const uint16_t* from) { return split(read<Ints>(from)); }
inline Pair input_at(const uint16_t* from) { return split(all(read<int32_t>(from))); }
inline Vec dot(Vec sum, const Pairs& w, const Pair& x) {
  return fma(x.odd, w.odd, fma(x.even, w.even, sum));
}

#endif

// e to the x, within 2 units in the last place; from -87 on upwards, and below as for -87.  What
// is not a number stays so: a comparison with it gives the second operand.
inline Vec exponential(Vec x) {
  x = smaller(all(88.0f), larger(all(-87.0f), x));
  // Adding 1.5 * 2^23 rounds to an integer, which the low bits of the sum then hold.
  const Vec shifter = all(12582912.0f);
  const Vec shifted = fma(x, all(1.44269504088896341f), shifter);
  const Vec whole = shifted - shifter;
  // x - whole * log(2), in two steps for its low bits; then the Taylor series with Cephes'
  // coefficients (expf).
  Vec r = fma(whole, all(-0.693359375f), x);
  r = fma(whole, all(2.12194440e-4f), r);
  Vec p = all(1.9875691500e-4f);
  p = fma(p, r, all(1.3981999507e-3f));
  p = fma(p, r, all(8.3334519073e-3f));
  p = fma(p, r, all(4.1665795894e-2f));
  p = fma(p, r, all(1.6666665459e-1f));
  p = fma(p, r, all(5.0000001201e-1f));
  p = fma(p, r * r, r + all(1.0f));
  const Ints power = (bits_of(shifted) - bits_of(shifter) + 127) << 23;
  return p * floats_of(power);
}

// x * P(a normal variable is at most x), within 2e-6.  P - 1/2 is x times a polynomial in x^2, here
// a least-squares fit on Chebyshev nodes of [0, 5], in v = 2 x^2 / 25 - 1; beyond 5 P is 0 or 1.
inline Vec gelu(Vec x) {
  const Vec v = fma(x * x, all(0.08f), all(-1.0f));
  Vec p = all(0.00058383006f);
  p = fma(p, v, all(-0.00160097051f));
  p = fma(p, v, all(0.00179134855f));
  p = fma(p, v, all(-0.00271631791f));
  p = fma(p, v, all(0.00634030346f));
  p = fma(p, v, all(-0.0111366638f));
  p = fma(p, v, all(0.0164349944f));
  p = fma(p, v, all(-0.0232794187f));
  p = fma(p, v, all(0.0314353202f));
  p = fma(p, v, all(-0.0404409245f));
  p = fma(p, v, all(0.0515210376f));
  p = fma(p, v, all(-0.0702963528f));
  p = fma(p, v, all(0.141363781f));
  const Vec inside = x * fma(x, p, all(0.5f));
  return x < -5.0f ? Vec{} : x > 5.0f ? x : inside;
}

template <size_t count>
struct RowCount {
  static constexpr size_t value = count;
};

// Calls loop(RowCount, first row) for as many rows at a time as the registers hold, then for the
// rest at once.
template <size_t most, class Loop>
void over_rows(size_t first, size_t count, const Loop& loop) {
  for (; count >= most; first += most, count -= most) loop(RowCount<most>{}, first);
  if constexpr (most > 1) over_rows<most - 1>(first, count, loop);
}

// sums[r][v] = the product of row r with the columns of vector v of a panel `panel` wide.
template <size_t panel, class Row, class Weight, class Sum, size_t rows, size_t vectors>
inline void multiply(const Row* row, size_t stride, size_t inner, const Weight* weights,
                     Sum (&sums)[rows][vectors]) {
  constexpr size_t step = kStep<Row>;
  // Products are linear: those of shifted bytes, less those of as many shifted zeros, are those of
  // the bytes.
  constexpr bool shifts = kShiftsBytes && step == kQuad;
  [[maybe_unused]] Sum of_zeros[vectors] = {};
  for (auto& row_sums : sums)
    for (Sum& value : row_sums) value = Sum{};
  for (size_t k = 0; k < inner; k += step, weights += panel * step) {
    decltype(weights_at(weights)) w[vectors];
    for (size_t v = 0; v < vectors; ++v) w[v] = weights_at(weights + v * kLanes * step);
    for (size_t r = 0; r < rows; ++r) {
      const auto x = input_at(row + r * stride + k);
      for (size_t v = 0; v < vectors; ++v) sums[r][v] = dot(sums[r][v], w[v], x);
    }
    if constexpr (shifts) {
      const Row zeros[step] = {};
      for (size_t v = 0; v < vectors; ++v) of_zeros[v] = dot(of_zeros[v], w[v], input_at(zeros));
    }
  }
  if constexpr (shifts)
    for (auto& row_sums : sums)
      for (size_t v = 0; v < vectors; ++v) row_sums[v] -= of_zeros[v];
}

template <size_t rows, size_t vectors>
inline void multiply_bytes(const uint8_t* row, size_t stride, size_t inner, const int8_t* weights,
                           Ints (&sums)[rows][vectors]) {
  if constexpr (kMostScreened < 127)
    multiply_small(row, stride, inner, weights, sums);
  else
    multiply<kBytePanel>(row, stride, inner, weights, sums);
}

template <class Row, class Weight>
inline void store_finished(const Product<Row, Weight>& product, size_t row, size_t column,
                           Vec value) {
  value += load(product.bias + column);
  store(product.out + row * product.out_stride + column,
        product.finish == Finish::kGelu ? gelu(value) : value);
}

template <class T>
void product(const Product<T, T>& p) {
  for (size_t column = 0; column < kPanel; column += kColumns)
    over_rows<kRows>(0, p.count, [&p, column](auto rows, size_t first) {
      Vec sums[rows.value][kVectors];
      multiply<kPanel>(p.rows + first * p.stride, p.stride, p.inner, p.panel + column * kStep<T>,
                       sums);
      for (size_t r = 0; r < rows.value; ++r)
        for (size_t v = 0; v < kVectors; ++v)
          store_finished(p, first + r, column + v * kLanes, sums[r][v]);
    });
}

void product_bytes(const Product<uint8_t, int8_t>& p, const Levels* row_levels,
                   const ByteColumns& columns) {
  for (size_t column = 0; column < kBytePanel; column += kByteColumns)
    over_rows<kByteRows>(0, p.count, [&, column](auto rows, size_t first) {
      Ints sums[rows.value][kByteVectors];
      multiply_bytes(p.rows + first * p.stride, p.stride, p.inner, p.panel + column * kQuad, sums);
      for (size_t r = 0; r < rows.value; ++r) {
        const Levels& levels = row_levels[first + r];
        for (size_t v = 0; v < kByteVectors; ++v) {
          const size_t at = column + v * kLanes;
          const Vec real = __builtin_convertvector(sums[r][v], Vec) * levels.step +
                           load(columns.sums + at) * levels.low;
          store_finished(p, first + r, at, real * load(columns.scales + at));
        }
      }
    });
}

void largest(const ByteRows& from, size_t count, size_t inner, const int8_t* panel, int32_t* best) {
  for (size_t column = 0; column < kBytePanel; column += kByteColumns) {
    Ints most[kByteVectors];
    for (Ints& value : most) value = all(INT32_MIN);
    over_rows<kByteRows>(0, count, [&, column](auto rows, size_t first) {
      Ints sums[rows.value][kByteVectors];
      multiply_bytes(from.values + first * from.stride, from.stride, inner, panel + column * kQuad,
                     sums);
      for (size_t v = 0; v < kByteVectors; ++v)
        for (size_t r = 0; r < rows.value; ++r) most[v] = larger(most[v], sums[r][v]);
    });
    std::memcpy(best + column, most, sizeof most);
  }
}

uint64_t reaching(const int32_t* best, float scale, const Slacks& slacks, const Bounds& bounds) {
  uint64_t mask = 0;
  for (size_t i = 0; i < kBytePanel; i += kLanes) {
    const Ints unshifted = read<Ints>(best + i) - read<Ints>(bounds.columns.shifts + i);
    Vec value = __builtin_convertvector(unshifted, Vec) * (scale * load(bounds.columns.scales + i));
    value += load(bounds.limits + i);
    for (size_t s = 0; s < kSlacks; ++s) value += slacks.position[s] * load(bounds.term[s] + i);
    mask |= static_cast<uint64_t>(signs(~(value <= 0.0f))) << i;
  }
  return mask;
}

// Writes the first `count` values, or all, rounded to bytes; those that are not numbers as `least`.
inline void store_rounded(void* to, Vec value, float least, float most, size_t count) {
  const Vec shifter = all(12582912.0f);  // see exponential
  const Vec kept = smaller(larger(value, all(least)), all(most));
  store_bytes(to, bits_of(kept + shifter) - bits_of(shifter), count);
}

void to_bytes(const float* row, size_t width, float scale, int8_t* bytes) {
  for (size_t i = 0; i < width; i += kLanes)
    store_rounded(bytes + i, load_part(row + i, width - i) / scale, -127.0f, 127.0f, width - i);
}

Levels to_levels(const float* row, size_t width, uint8_t* bytes) {
  Vec least = {}, most = {}, zeros = {};
  for (size_t i = 0; i < width; i += kLanes) {
    const Vec value = load_part(row + i, width - i);
    least = smaller(value, least);
    most = larger(value, most);
    zeros += value * 0.0f;  // which is not a number where the value is not finite
  }
  const float low = smallest_lane(least);
  const float range = largest_lane(most) - low + sum(zeros);
  const float per_step = range > 0 ? kMostLevel / range : 0;
  for (size_t i = 0; i < width; i += kLanes)
    store_rounded(bytes + i, (load_part(row + i, width - i) - low) * per_step, 0.0f, kMostLevel,
                  width - i);
  return {low, range / kMostLevel};
}

void to_bf16(const float* row, size_t width, uint16_t* out) {
  for (size_t i = 0; i < width; ++i) {
    const auto bits = read<uint32_t>(row + i);
    out[i] = static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
  }
}

void normalize(float* row, const float* added, size_t width, const float* gamma, const float* beta,
               float epsilon) {
  Vec total = {};
  for (size_t i = 0; i < width; i += kLanes) {
    Vec value = load_part(row + i, width - i);
    if (added != nullptr) {
      value += load_part(added + i, width - i);
      store_part(row + i, value, width - i);
    }
    total += value;
  }
  const float mean = sum(total) / static_cast<float>(width);
  Vec squares = {};
  for (size_t i = 0; i + kLanes <= width; i += kLanes) {
    const Vec away = load(row + i) - mean;
    squares = fma(away, away, squares);
  }
  float square = sum(squares);
  for (size_t i = width - width % kLanes; i < width; ++i)
    square += (row[i] - mean) * (row[i] - mean);
  const float shrink = 1.0f / __builtin_sqrtf(square / static_cast<float>(width) + epsilon);
  for (size_t i = 0; i < width; i += kLanes) {
    const Vec away = (load_part(row + i, width - i) - mean) * shrink;
    store_part(row + i, fma(away, load_part(gamma + i, width - i), load_part(beta + i, width - i)),
               width - i);
  }
}

float maximum(const float* values, size_t count) {
  float most = values[0];
  size_t i = 0;
  if (count >= kLanes) {
    Vec best = load(values);
    for (i = kLanes; i + kLanes <= count; i += kLanes) best = larger(best, load(values + i));
    most = largest_lane(best);
  }
  for (; i < count; ++i) most = most < values[i] ? values[i] : most;
  return most;
}

void softmax(float* row, size_t width, float scale) {
  const float most = maximum(row, width);
  Vec total = {};
  size_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Vec value = exponential((load(row + i) - most) * scale);
    store(row + i, value);
    total += value;
  }
  if (i < width) {
    Vec value = exponential((load_part(row + i, width - i) - most) * scale);
    for (size_t lane = width - i; lane < kLanes; ++lane) value[lane] = 0;
    store_part(row + i, value, width - i);
    total += value;
  }
  const float share = 1.0f / sum(total);
  for (i = 0; i < width; i += kLanes)
    store_part(row + i, load_part(row + i, width - i) * share, width - i);
}

constexpr Loops kLoops = {product<float>, product<uint16_t>, product_bytes, largest,
                          reaching,       to_bytes,          to_levels,     to_bf16,
                          normalize,      softmax,           maximum,       kMostScreened};

}  // namespace
}  // namespace lsr::encoders
