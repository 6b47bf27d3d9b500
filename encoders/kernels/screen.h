// Which terms can have a logit above zero somewhere in a text, told from products of bytes.
//
// With h a hidden state, w a term's weights, and h', w' what their first dimensions are rounded to,
// the rest being dropped, the Cauchy-Schwarz inequality bounds what a logit lost by it:
//
//     h w - h' w'  <=  lost(h) |w|  +  |h'| lost(w)  +  |rest of h| |rest of w|
//
// where lost() is the length of what rounding took off the first dimensions.  A term whose largest
// product of bytes stays below zero by more than that is not in the vector.
//
// Positions are screened in groups of kGroup that are alike, each by the worst of its own losses. A
// logit is computed only where both its term and its group are left.
//
// How few dimensions are enough depends on the coordinates.  A Basis makes the first ones matter
// most, and a screen that is fitted to it gives every panel of terms as many as pay for themselves:
// terms that are hardly ever near zero need few.  What a panel leaves is tried in all dimensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "loops.h"
#include "matrix.h"

namespace lsr::encoders {

// The positions of a text: `length` rows of hidden states.
struct Text {
  const float* hidden;
  size_t length;
};

// Other coordinates, width x width, row-major: (matrix (h - mean)) (inverse w) = (h - mean) w.
struct Basis {
  const float *matrix, *inverse, *mean;
};

constexpr size_t kGroup = kPanel;  // positions whose exact logits are computed at once

// What a screen leaves of some texts.
struct Found {
  // The groups of some texts, of their positions as they come; nothing left of them so far.
  void start(const std::vector<Text>& texts, size_t words_of_group) {
    words = words_of_group;
    starts.assign(1, 0);
    firsts.assign(1, 0);
    order.clear();
    for (const Text& text : texts) {
      for (size_t i = 0; i < text.length; ++i) order.push_back(static_cast<uint32_t>(i));
      firsts.push_back(order.size());
      starts.push_back(starts.back() + (text.length + kGroup - 1) / kGroup);
    }
  }

  // Of a text: its groups, and its positions in their order, kGroup of them a group.
  size_t groups(size_t text) const { return starts[text + 1] - starts[text]; }
  const uint32_t* positions(size_t text) const { return order.data() + firsts[text]; }
  // The terms of a group: bit t % 64 of word t / 64 for each term t that can be above zero there.
  const uint64_t* terms(size_t text, size_t group) const {
    return bits.data() + (starts[text] + group) * words;
  }

  size_t words = 0;
  std::vector<size_t> starts, firsts;  // the first group and position of each text, and the end
  std::vector<uint32_t> order;
  std::vector<uint64_t> bits;
};

class Screen {
 public:
  // Everything as it comes, in all dimensions.  weight: terms x width, row-major; bias: terms.
  Screen(const Loops& loops, const float* weight, const float* bias, size_t terms, size_t width);

  // In other coordinates, with depths that pay on some texts: at least one position.  Throws
  // std::invalid_argument when the two directions of the basis do not undo each other.
  Screen(const Loops& loops, const float* weight, const float* bias, size_t terms, size_t width,
         const Basis& basis, const std::vector<Text>& sample);

  // How many words of 64 bits a group's terms take.
  size_t words() const { return (terms_.size() + 63) / 64; }

  void find(const std::vector<Text>& texts, Found& found) const;
  // Leaves everything.
  void find_all(const std::vector<Text>& texts, Found& found) const;

 private:
  // A term's weights in these coordinates, rounded to `scale` times a row of bytes_.
  struct Term {
    float scale, limit, norm, lost;
    int32_t shift;
  };
  // Terms side by side, down to a depth.
  struct Panel {
    size_t depth = 0;  // an index of depths_
    size_t count = 0;
    std::vector<int8_t> bytes;
    int32_t shifts[kBytePanel] = {};
    float scales[kBytePanel] = {}, limits[kBytePanel] = {}, slacks[kSlacks][kBytePanel] = {};
  };
  struct Rounded;
  struct Scratch;

  void add_term(const float* weights, double bias, double uncertain);
  void choose_depths(const std::vector<Text>& sample);
  template <class Depth>
  void add_panels(const Depth& depth);
  void fill(Panel& panel, const uint32_t* places, size_t count, size_t depth) const;
  void round(const std::vector<Text>& texts, Rounded& rounded, Found& found) const;
  void sort(const float* states, size_t stride, size_t length, Rounded& rounded,
            uint32_t* order) const;
  uint64_t reached(const Panel& panel, const Rounded& rounded, size_t group) const;

  const Loops& loops_;
  size_t width_, inner_;
  std::vector<uint32_t> order_;  // the term at each place
  std::vector<Term> terms_;      // at each place
  std::vector<int8_t> bytes_;    // places x inner_; none where nothing is tried again
  std::vector<size_t> depths_;   // bytes that a panel may take of each row, ascending up to inner_
  std::vector<Panel> panels_;
  bool transformed_ = false;
  Linear transform_;
  double mean_length_ = 0;  // of the basis's mean
  double uncertain_ = 0;    // see round()
};

}  // namespace lsr::encoders
