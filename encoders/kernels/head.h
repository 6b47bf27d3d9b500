// The head of SPLADE: logits of every position for every term, pooled, never whole.
//
// Only some hundred of a text's pooled logits end above zero, and products of bytes tell which
// ones may.  With h a hidden state, w a term's weights, and h', w' what they are rounded to, the
// Cauchy-Schwarz inequality bounds what the rounding did to a logit:
//
//     |h w - h' w'|  =  |(h - h') w + h' (w - w')|  <=  |h - h'| |w| + |h'| |w - w'|
//
// A term whose largest rounded logit stays below zero by more than that is not in the vector.
// The others are computed in float32, so the vector is that of float32 throughout: bit by bit what
// the same loop gives on all terms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "loops.h"
#include "matrix.h"

namespace lsr::encoding {

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

 private:
  struct Text;
  void screen(const std::vector<Text>& texts, std::vector<uint64_t>& masks) const;
  void compute(const Text& text, const uint64_t* masks, Pooling pooling, Activation activation,
               Rows& rows) const;

  const Loops& loops_;
  const float* weight_;
  size_t terms_, width_;
  std::vector<float> bias_;
  PackedBytes bytes_;
  std::vector<float> limits_, norms_, errors_;  // see Bounds
};

}  // namespace lsr::encoding
