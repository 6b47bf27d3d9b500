// The head of SPLADE: logits of every position for every term, pooled, never whole.
//
// Only some hundred of a text's pooled logits end above zero, and a Screen tells which ones may.
// Those are computed in float32, so the vector is that of float32 throughout: bit by bit what the
// same loop gives on all terms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "loops.h"
#include "screen.h"

namespace lsr::encoders {

enum class Activation { kRelu, kLog1p, kDoubleLog1p };
enum class Pooling { kMax, kSum };

// Sparse rows one after another.
struct Rows {
  std::vector<int64_t> ends;
  std::vector<uint32_t> terms;  // of a row, ascending
  std::vector<float> weights;   // above zero
};

class Head {
 public:
  // weight: terms x width, row-major, which must outlive the head; bias: terms.  All are finite.
  Head(const Loops& loops, const float* weight, const float* bias, size_t terms, size_t width);

  // Appends a row for each text.  `hidden`: finite, the positions of all texts, width values each;
  // `lengths`: how many positions each has.  Unless `screened`, every term is computed in float32.
  void pool(const float* hidden, const int64_t* lengths, size_t texts, Pooling pooling,
            Activation activation, bool screened, Rows& rows) const;

  // Screens from now on in the coordinates and to the depths that pay on some texts like the ones
  // to come: it changes how long `pool` takes, not what it gives.  May be called while others pool.
  void fit(const Basis& basis, const float* hidden, const int64_t* lengths, size_t texts);

 private:
  std::vector<Text> texts_of(const float* hidden, const int64_t* lengths, size_t texts) const;
  void compute(const Text& text, const Found& found, size_t number, Pooling pooling,
               Activation activation, Rows& rows) const;

  const Loops& loops_;
  const float* weight_;
  size_t terms_, width_;
  std::vector<float> bias_;
  mutable std::mutex lock_;
  std::shared_ptr<const Screen> screen_;  // never null, read and replaced under the lock
};

}  // namespace lsr::encoders
