// The compiled module `_lsr`: a submodule for each folder of kernels, and the number that
// lsr/kernels.py compares with its own.
#include <nanobind/nanobind.h>

namespace lsr::index {
void bind(nanobind::module_& m);
}
namespace lsr::encoders {
void bind(nanobind::module_& m);
}

NB_MODULE(_lsr, m) {
  m.doc() = "The compiled kernels of lsr.";
  m.attr("KERNELS") = LSR_KERNELS;
  auto index = m.def_submodule("index", "Search over the postings of an index, and their order.");
  lsr::index::bind(index);
  auto encoders = m.def_submodule("encoders", "WordPiece, BERT and the head of SPLADE on a CPU.");
  lsr::encoders::bind(encoders);
}
