// The loops of encoding on random and extreme values.  Integers, and floats that are rounded the
// same way in all sets, are equal; others are as close as the number of roundings allows.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "check.h"
#include "encoders/kernels/isas.h"

namespace lsr {
namespace {

using namespace encoders;

constexpr int kCases = 80;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kUnit = 1.0 / (1 << 24);  // of rounding to float32

size_t any_count(Random& random) {  // of rows: all remainders of those that are taken at once
  return random.any<size_t>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 17, 24, 25});
}
size_t any_width(Random& random) {
  return random.any<size_t>({1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 127, 200});
}

std::vector<float> any_floats(Random& random, size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = random.real();
  return values;
}

// Puts what is not finite into some of the values.
void spoil(Random& random, std::vector<float>& values) {
  for (size_t i = 0; i < values.size(); ++i)
    if (random.one_in(50)) values[i] = random.any({kInfinity, -kInfinity, kNan});
}

uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Equal, or neither a number.
bool same(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

bool close(float value, float expected, double tolerance) {
  if (!std::isfinite(value) || !std::isfinite(expected)) return same(value, expected);
  return std::fabs(static_cast<double>(value) - expected) <= tolerance;
}

uint16_t to_half(float value) { return static_cast<uint16_t>(bits_of(value) >> 16); }
double real_of(float value) { return value; }
double real_of(uint16_t half) {
  const uint32_t bits = uint32_t{half} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
std::vector<T> any_values(Random& random, size_t count, bool spoiled) {
  std::vector<float> floats = any_floats(random, count);
  if (spoiled) spoil(random, floats);
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) {
    if constexpr (sizeof(T) == sizeof(float))
      values[i] = floats[i];
    else
      values[i] = to_half(floats[i]);
  }
  return values;
}

// Products of floats and of bfloat16.
template <class T>
void check_product(const Loops& loops, Check& check,
                   void (*Loops::*loop)(const Product<T, T>& product)) {
  constexpr size_t step = kStep<T>;
  Random random(1);
  for (int i = 0; i < kCases; ++i) {
    const size_t count = any_count(random), inner = (any_width(random) + step - 1) / step * step;
    const size_t stride = inner + random.below(2) * 6, out_stride = kPanel + random.below(2) * 5;
    const std::vector<T> rows = any_values<T>(random, count * stride, random.one_in(4));
    const std::vector<T> panel = any_values<T>(random, inner * kPanel, random.one_in(4));
    const std::vector<float> bias = any_floats(random, kPanel);
    for (const Finish finish : {Finish::kNone, Finish::kGelu}) {
      const auto product = [&](const Loops& set, size_t first, size_t rows_taken) {
        std::vector<float> out(count * out_stride, 7.0f);
        (set.*loop)({rows.data() + first * stride, stride, rows_taken, inner, panel.data(),
                     bias.data(), finish, out.data() + first * out_stride, out_stride});
        return out;
      };
      const std::vector<float> out = product(loops, 0, count);
      const std::vector<float> expected = product(kScalarLoops, 0, count);
      for (size_t r = 0; r < count; ++r) {
        const std::vector<float> alone = product(loops, r, 1);
        for (size_t c = 0; c < out_stride; ++c) {
          const size_t at = r * out_stride + c;
          check.expect(same(out[at], alone[at]), "a row depends on its neighbours");
          if (c >= kPanel) {
            check.expect(out[at] == 7.0f, "more columns are written than a panel has");
            continue;
          }
          double size = std::fabs(bias[c]);
          for (size_t k = 0; k < inner; ++k)
            size += std::fabs(real_of(rows[r * stride + k]) *
                              real_of(panel[(k / step * kPanel + c) * step + k % step]));
          double tolerance = 2 * static_cast<double>(inner + 2) * kUnit * size;
          // The slope of the function is below 1.2, and either set is within 2e-6 of it.
          if (finish == Finish::kGelu) tolerance = 1.2 * tolerance + 4e-6;
          check.expect(close(out[at], expected[at], tolerance), "a value is too far off");
        }
      }
    }
  }
}

// Signed bytes within 127, as rounding gives them: random, or as large as can be.
std::vector<int8_t> any_bytes(Random& random, size_t count) {
  const uint32_t kind = random.below(4);
  std::vector<int8_t> bytes(count);
  for (int8_t& byte : bytes) {
    const int signed_byte = kind == 0   ? 127
                            : kind == 1 ? -127
                            : kind == 2 ? 127 * (1 - 2 * static_cast<int>(random.below(2)))
                                        : static_cast<int>(random.below(255)) - 127;
    byte = static_cast<int8_t>(signed_byte);
  }
  return bytes;
}

// Rows and a panel of bytes, those of the panel within `most`.
struct ByteCase {
  ByteCase(Random& random, size_t rows, size_t width, int8_t most = 127)
      : count(rows),
        inner(width),
        stride(inner + random.below(2) * 8),
        panel(any_bytes(random, inner * kBytePanel)),
        shifts(kBytePanel),
        scales(any_floats(random, kBytePanel)) {
    for (const int8_t byte : any_bytes(random, count * stride))
      values.push_back(static_cast<uint8_t>(byte + 128));
    for (int8_t& byte : panel) byte = std::max<int8_t>(std::min(byte, most), -most);
    for (size_t c = 0; c < kBytePanel; ++c)
      for (size_t k = 0; k < inner; ++k)
        shifts[c] += 128 * panel[k / kQuad * kQuad * kBytePanel + c * kQuad + k % kQuad];
  }

  // The product of the first row with the first column.
  int64_t first_sum() const {
    int64_t sum = 0;
    for (size_t k = 0; k < inner; ++k)
      sum += values[k] * panel[k / kQuad * kQuad * kBytePanel + k % kQuad];
    return sum;
  }

  size_t count, inner, stride;
  std::vector<int8_t> panel;
  std::vector<int32_t> shifts;
  std::vector<float> scales;
  std::vector<uint8_t> values;
};

void check_product_bytes(const Loops& loops, Check& check) {
  Random random(2);
  for (int i = 0; i <= kCases; ++i) {
    // The widest model, whose sums just fit, comes last.
    const size_t inner = i < kCases ? any_width(random) * kByteStep : size_t{1} << 16;
    ByteCase bytes(random, i < kCases ? any_count(random) : 2, inner, kMostWeight);
    for (uint8_t& value : bytes.values) value = std::min(value, kMostLevel);
    const size_t out_stride = kBytePanel + random.below(2) * 5;
    const std::vector<float> bias = any_floats(random, kBytePanel);
    const std::vector<float> sums = any_floats(random, kBytePanel);
    std::vector<Levels> levels(bytes.count);
    for (Levels& level : levels) {
      std::vector<float> two = any_floats(random, 2);
      if (random.one_in(4)) spoil(random, two);
      level = {two[0], two[1]};
    }
    for (const Finish finish : {Finish::kNone, Finish::kGelu}) {
      const auto product = [&](const Loops& set) {
        std::vector<float> out(bytes.count * out_stride, 7.0f);
        set.product_bytes({bytes.values.data(), bytes.stride, bytes.count, bytes.inner,
                           bytes.panel.data(), bias.data(), finish, out.data(), out_stride},
                          levels.data(), {sums.data(), bytes.scales.data()});
        return out;
      };
      const std::vector<float> out = product(loops), expected = product(kScalarLoops);
      for (size_t at = 0; at < out.size(); ++at)
        check.expect(finish == Finish::kNone ? same(out[at], expected[at])
                                             : close(out[at], expected[at], 4e-6),
                     "a value differs");
      // By the formula too, of the first row and column: this is where all sets could be wrong.
      const float integer = static_cast<float>(bytes.first_sum());
      const float real = levels[0].step * integer + levels[0].low * sums[0];
      check.expect(finish == Finish::kGelu || same(out[0], real * bytes.scales[0] + bias[0]),
                   "a value is not the formula's");
    }
  }
}

void check_largest(const Loops& loops, Check& check) {
  Random random(3);
  for (int i = 0; i <= 2 * kCases; ++i) {
    // The widest model, whose sums just fit, comes last.
    const size_t inner = i < 2 * kCases ? any_width(random) * kByteStep : size_t{1} << 16;
    const ByteCase bytes(random, i < 2 * kCases ? any_count(random) : 2, inner,
                         loops.most_screened);
    const auto largest = [&](const Loops& set) {
      std::vector<int32_t> best(kBytePanel, 7);
      set.largest({bytes.values.data(), bytes.stride}, bytes.count, bytes.inner, bytes.panel.data(),
                  best.data());
      return best;
    };
    const std::vector<int32_t> best = largest(loops);
    check.expect_equal(best, largest(kScalarLoops), "integers");
    // By the formula too, of the first row and column: this is where all sets could be wrong.
    check.expect(bytes.count > 1 || best[0] == bytes.first_sum(),
                 "an integer is not the sum of its products");
  }
}

void check_reaching(const Loops& loops, Check& check) {
  Random random(4);
  for (int i = 0; i < 10 * kCases; ++i) {
    std::vector<int32_t> best(kBytePanel), shifts(kBytePanel);
    std::vector<float> arrays[2 + kSlacks];
    for (std::vector<float>& values : arrays) {
      values = any_floats(random, kBytePanel);
      if (random.one_in(4)) spoil(random, values);
    }
    for (size_t c = 0; c < kBytePanel; ++c) {
      best[c] = static_cast<int32_t>(random.below(2000)) - 1000;
      shifts[c] = static_cast<int32_t>(random.below(2000)) - 1000;
      if (random.one_in(4)) {  // exactly zero, which is not reached
        shifts[c] = best[c];
        for (std::vector<float>& values : arrays) values[c] = 0;
      }
    }
    std::vector<float> scalars = any_floats(random, 1 + kSlacks);
    if (random.one_in(4)) spoil(random, scalars);
    const Bounds bounds = {{shifts.data(), arrays[0].data()},
                           arrays[1].data(),
                           {arrays[2].data(), arrays[3].data(), arrays[4].data()}};
    const Slacks slacks = {{scalars[1], scalars[2], scalars[3]}};
    check.expect(loops.reaching(best.data(), scalars[0], slacks, bounds) ==
                     kScalarLoops.reaching(best.data(), scalars[0], slacks, bounds),
                 "other columns reach zero");
  }
}

void check_to_bytes(const Loops& loops, Check& check) {
  Random random(5);
  for (int i = 0; i < 5 * kCases; ++i) {
    const size_t width = random.one_in(10) ? 0 : any_width(random);
    std::vector<float> row = any_floats(random, width);
    const bool halves = random.one_in(3);
    for (float& value : row)
      value = halves ? static_cast<float>(random.below(600)) / 2 - 150 : 140 * value;
    if (random.one_in(4)) spoil(random, row);
    const float scale = halves ? 1.0f : random.any({1.0f, 0.75f, 1e-30f, 0.0f, kInfinity, kNan});
    const auto rounded = [&](const Loops& set) {
      std::vector<int8_t> bytes(width + 20, 7);
      set.to_bytes(row.data(), width, scale, bytes.data());
      return bytes;
    };
    check.expect_equal(rounded(loops), rounded(kScalarLoops), "bytes");
  }
}

void check_to_levels(const Loops& loops, Check& check) {
  Random random(12);
  for (int i = 0; i < 5 * kCases; ++i) {
    std::vector<float> row = any_floats(random, any_width(random));
    const float scale = random.any({1.0f, -3.0f, 1e-40f, 1e30f, 3e38f});
    const float shift = random.any({0.0f, 1.0f, -5.0f});
    for (float& value : row) value = scale * (value + shift);
    if (random.one_in(8)) std::fill(row.begin(), row.end(), random.any({0.0f, 2.0f, -2.0f}));
    if (random.one_in(4)) spoil(random, row);
    std::vector<uint8_t> bytes(row.size() + 20, 7), expected = bytes;
    const Levels levels = loops.to_levels(row.data(), row.size(), bytes.data());
    const Levels theirs = kScalarLoops.to_levels(row.data(), row.size(), expected.data());
    check.expect_equal(bytes, expected, "bytes");
    check.expect(same(levels.low, theirs.low) && same(levels.step, theirs.step), "levels differ");
    // By what they are for: half a step, and the roundings of three numbers up to the range.
    const bool finite =
        std::all_of(row.begin(), row.end(), [](float v) { return std::isfinite(v); });
    check.expect(finite || !std::isfinite(levels.step), "what is not finite is hidden");
    if (!std::isfinite(levels.step)) continue;
    for (size_t at = 0; at < row.size(); ++at) {
      check.expect(bytes[at] <= kMostLevel, "a level is too high");
      const double value = levels.low + static_cast<double>(levels.step) * bytes[at];
      check.expect(std::fabs(value - row[at]) <= 0.501 * levels.step + 1e-38,
                   "a value is not rounded to the nearest level");
    }
  }
}

void check_to_bf16(const Loops& loops, Check& check) {
  Random random(6);
  for (int i = 0; i < 5 * kCases; ++i) {
    const size_t width = random.one_in(10) ? 0 : any_width(random);
    std::vector<float> row(width);
    const uint32_t mask = random.any({~0u, 0xffff8000u, 0xffff0000u});  // halves are ties
    for (float& value : row) {
      const uint32_t bits = static_cast<uint32_t>(random.bits()) & mask;
      std::memcpy(&value, &bits, sizeof value);
    }
    if (random.one_in(4)) spoil(random, row);
    const auto rounded = [&](const Loops& set) {
      std::vector<uint16_t> halves(width + 20, 7);
      set.to_bf16(row.data(), width, halves.data());
      return halves;
    };
    check.expect_equal(rounded(loops), rounded(kScalarLoops), "bfloat16s");
  }
}

// Values of a row, then some that are not part of it.
constexpr size_t kBehind = 20;

void check_normalize(const Loops& loops, Check& check) {
  Random random(7);
  for (int i = 0; i < 5 * kCases; ++i) {
    const size_t width = any_width(random);
    std::vector<float> row = any_floats(random, width + kBehind);
    if (random.one_in(4)) spoil(random, row);
    const std::vector<float> added = any_floats(random, width);
    const std::vector<float> gamma = any_floats(random, width), beta = any_floats(random, width);
    const bool adds = random.one_in(2);
    const auto normalized = [&](const Loops& set) {
      std::vector<float> out = row;
      set.normalize(out.data(), adds ? added.data() : nullptr, width, gamma.data(), beta.data(),
                    1e-3f);
      return out;
    };
    const std::vector<float> out = normalized(loops), expected = normalized(kScalarLoops);
    // Mean and variance are sums of so many values, in another order.  Values are below 2, and what
    // they are divided by is above .03, the root of epsilon.
    const double tolerance = 4 * static_cast<double>(width + 8) * kUnit * 2 / 0.03;
    for (size_t at = 0; at < out.size(); ++at)
      check.expect(at < width ? close(out[at], expected[at], tolerance)
                              : bits_of(out[at]) == bits_of(row[at]),
                   "a value is too far off");
  }
}

void check_softmax(const Loops& loops, Check& check) {
  Random random(8);
  for (int i = 0; i < 5 * kCases; ++i) {
    const size_t width = any_width(random);
    std::vector<float> row = any_floats(random, width + kBehind);
    const float size = random.any({1.0f, 10.0f, 1e4f, 1e38f});
    for (float& value : row) value *= size;
    if (random.one_in(4)) spoil(random, row);
    const float scale = random.any({1.0f, 0.125f});
    const auto shares = [&](const Loops& set) {
      std::vector<float> out = row;
      set.softmax(out.data(), width, scale);
      return out;
    };
    const std::vector<float> out = shares(loops), expected = shares(kScalarLoops);
    // Exponentials are within 2 units in the last place, and their sum has so many roundings.
    for (size_t at = 0; at < out.size(); ++at)
      check.expect(at < width ? close(out[at], expected[at],
                                      2 * static_cast<double>(width + 16) * kUnit * expected[at])
                              : bits_of(out[at]) == bits_of(row[at]),
                   "a share is too far off");
  }
}

void check_maximum(const Loops& loops, Check& check) {
  Random random(9);
  for (int i = 0; i < 20 * kCases; ++i) {
    std::vector<float> values = any_floats(random, any_width(random));
    for (float& value : values)
      if (random.one_in(20)) value = random.any({kInfinity, -kInfinity, 0.0f, -0.0f});
    if (random.one_in(4)) std::fill(values.begin(), values.end(), -kInfinity);
    check.expect(loops.maximum(values.data(), values.size()) ==
                     kScalarLoops.maximum(values.data(), values.size()),
                 "the largest value is another");
  }
}

void check_product_fp32(const Loops& loops, Check& check) {
  check_product(loops, check, &Loops::product);
}
void check_product_bf16(const Loops& loops, Check& check) {
  check_product(loops, check, &Loops::product_bf16);
}

}  // namespace

std::string check_encoders() {
  constexpr struct {
    const char* name;
    void (*check)(const Loops& loops, Check& check);
  } kChecks[] = {{"product", check_product_fp32},
                 {"product_bf16", check_product_bf16},
                 {"product_bytes", check_product_bytes},
                 {"largest", check_largest},
                 {"reaching", check_reaching},
                 {"to_bytes", check_to_bytes},
                 {"to_levels", check_to_levels},
                 {"to_bf16", check_to_bf16},
                 {"normalize", check_normalize},
                 {"softmax", check_softmax},
                 {"maximum", check_maximum}};
  return check_sets("encoders", isas(), kChecks);
}

}  // namespace lsr
