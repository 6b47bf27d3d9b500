// The body of BERT: token ids to hidden states.
//
// J. Devlin et al., "BERT: Pre-training of deep bidirectional transformers for language
// understanding" (NAACL 2019); RoBERTa and DistilBERT have the same layers.  Texts lie one after
// another without padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "loops.h"
#include "matrix.h"

namespace lsr::encoders {

struct Norm {
  std::vector<float> gamma, beta;
};

struct Layer {
  Linear query_key_value;  // three times the width: queries, keys, values of all heads
  Linear output;
  Norm output_norm;
  Linear up, down;
  Norm down_norm;
};

struct Bert {
  const Loops& loops;
  size_t width, heads, inner;  // `inner`: columns of `up`
  float epsilon;
  const float *words, *positions;  // rows of `width`; positions include the vector of the type
  size_t word_count, position_count;
  Norm embedding_norm;
  std::vector<Layer> layers;
  bool transforms;  // whether the last step of a masked language model follows
  Linear transform;
  Norm transform_norm;

  // Hidden states of the positions of all texts, width values each.  Ids and lengths are within
  // the counts above.  With `after`, states as they are after these layers, which ascend and count
  // from 1: of all positions after the first of them, then of all after the next.  Nothing behind
  // the last one runs.
  void run(const uint32_t* ids, const int64_t* lengths, size_t texts, float* hidden,
           const std::vector<size_t>& after = {}) const;

 private:
  // The same of texts with so many positions, all at once; with `after`, states after a layer begin
  // `apart` values behind those after the one before.
  void run_together(const uint32_t* ids, const int64_t* lengths, size_t texts, size_t count,
                    const std::vector<size_t>& after, size_t apart, float* hidden) const;
};

}  // namespace lsr::encoders
