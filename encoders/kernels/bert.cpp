#include "bert.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lsr::encoders {
namespace {

constexpr size_t kQueries = 48;  // whose scores are held at a time
// Positions of texts that go through all layers together: few enough that their states stay in the
// second cache, and enough that weights, which may not, are seldom read again.
constexpr size_t kTogether = 256;

// Working memory, kept between calls; one a thread, so no lock is needed.
struct Scratch {
  std::vector<float> states, wide, mixed, keys, values, scores, context;
};

void normalize(const Bert& bert, const Norm& norm, float* rows, const float* added, size_t stride,
               size_t count) {
  for (size_t row = 0; row < count; ++row)
    bert.loops.normalize(rows + row * stride, added == nullptr ? nullptr : added + row * stride,
                         bert.width, norm.gamma.data(), norm.beta.data(), bert.epsilon);
}

// softmax(queries keys' / sqrt(size)) values, head by head.  `from` holds queries, keys and values
// of the text's positions side by side; `to` gets what the heads give side by side.
void attend(const Bert& bert, const float* from, size_t from_stride, size_t length, float* to,
            size_t to_stride, Scratch& scratch) {
  const Loops& loops = bert.loops;
  const size_t size = bert.width / bert.heads;
  const size_t room = rounded_up(length, kPanel), size_room = rounded_up(size, kPanel);
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  scratch.keys.resize(room * size);
  scratch.values.assign(length * size_room, 0.0f);
  scratch.scores.resize(kQueries * room);
  scratch.context.resize(kQueries * size_room);
  for (size_t head = 0; head < bert.heads; ++head) {
    const float* queries = from + head * size;
    const float* keys = queries + bert.width;
    const float* values = keys + bert.width;
    pack_floats(keys, from_stride, length, size, scratch.keys.data());
    for (size_t first = 0; first < size; first += kPanel)
      for (size_t k = 0; k < length; ++k)
        std::memcpy(scratch.values.data() + first * length + k * kPanel,
                    values + k * from_stride + first,
                    std::min(kPanel, size - first) * sizeof(float));
    for (size_t row = 0; row < length; row += kQueries) {
      const size_t count = std::min(kQueries, length - row);
      for (size_t first = 0; first < room; first += kPanel)
        loops.product({queries + row * from_stride, from_stride, count, size,
                       scratch.keys.data() + first * size, kNoBias, Finish::kNone,
                       scratch.scores.data() + first, room});
      for (size_t i = 0; i < count; ++i)
        loops.softmax(scratch.scores.data() + i * room, length, scale);
      for (size_t first = 0; first < size_room; first += kPanel)
        loops.product({scratch.scores.data(), room, count, length,
                       scratch.values.data() + first * length, kNoBias, Finish::kNone,
                       scratch.context.data() + first, size_room});
      for (size_t i = 0; i < count; ++i)
        std::memcpy(to + (row + i) * to_stride + head * size,
                    scratch.context.data() + i * size_room, size * sizeof(float));
    }
  }
}

}  // namespace

void Bert::run(const uint32_t* ids, const int64_t* lengths, size_t texts, float* hidden,
               const std::vector<size_t>& after) const {
  size_t first = 0, count = 0, apart = 0;
  for (size_t text = 0; text < texts; ++text) apart += static_cast<size_t>(lengths[text]) * width;
  for (size_t text = 0; text < texts; ++text) {
    const auto length = static_cast<size_t>(lengths[text]);
    if (count > 0 && count + length > kTogether) {
      run_together(ids, lengths + first, text - first, count, after, apart, hidden);
      ids += count;
      hidden += count * width;
      first = text;
      count = 0;
    }
    count += length;
  }
  run_together(ids, lengths + first, texts - first, count, after, apart, hidden);
}

void Bert::run_together(const uint32_t* ids, const int64_t* lengths, size_t texts, size_t count,
                        const std::vector<size_t>& after, size_t apart, float* hidden) const {
  thread_local Scratch scratch;
  const size_t stride = row_room(width);
  const size_t wide_stride = std::max(row_room(3 * width), row_room(inner));
  scratch.states.resize(count * stride);
  scratch.mixed.resize(count * stride);
  scratch.wide.resize(count * wide_stride);
  float* states = scratch.states.data();
  float* mixed = scratch.mixed.data();
  float* wide = scratch.wide.data();

  size_t row = 0;
  for (size_t text = 0; text < texts; ++text)
    for (int64_t place = 0; place < lengths[text]; ++place, ++row) {
      std::memcpy(states + row * stride, words + ids[row] * width, width * sizeof(float));
      loops.normalize(states + row * stride, positions + static_cast<size_t>(place) * width, width,
                      embedding_norm.gamma.data(), embedding_norm.beta.data(), epsilon);
    }
  auto keep = [&] {
    for (size_t i = 0; i < count; ++i)
      std::memcpy(hidden + i * width, states + i * stride, width * sizeof(float));
  };
  size_t number = 0, kept = 0;
  for (const Layer& layer : layers) {
    layer.query_key_value.apply(loops, states, stride, count, Finish::kNone, wide, wide_stride);
    size_t first = 0;
    for (size_t text = 0; text < texts; ++text) {
      const auto length = static_cast<size_t>(lengths[text]);
      if (length > 0)
        attend(*this, wide + first * wide_stride, wide_stride, length, mixed + first * stride,
               stride, scratch);
      first += length;
    }
    // The heads' rows are done with once they are in `wide`, where the sum is made.
    layer.output.apply(loops, mixed, stride, count, Finish::kNone, wide, stride);
    normalize(*this, layer.output_norm, states, wide, stride, count);
    layer.up.apply(loops, states, stride, count, Finish::kGelu, wide, wide_stride);
    layer.down.apply(loops, wide, wide_stride, count, Finish::kNone, mixed, stride);
    normalize(*this, layer.down_norm, states, mixed, stride, count);
    ++number;
    if (kept < after.size() && after[kept] == number) {
      keep();
      hidden += apart;
      if (++kept == after.size()) return;
    }
  }
  if (transforms) {
    transform.apply(loops, states, stride, count, Finish::kGelu, mixed, stride);
    normalize(*this, transform_norm, mixed, nullptr, stride, count);
    states = mixed;
  }
  keep();
}

}  // namespace lsr::encoders
