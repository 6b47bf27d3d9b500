// Python sees one class, Postings: the windows of an index, searched a batch at a time.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>

#include "isa.h"
#include "search.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace lsr {
namespace {

template <class T>
using Array = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
using Result = nb::ndarray<nb::numpy, T, nb::ndim<1>, nb::c_contig>;

template <class T>
Result<T> to_numpy(std::vector<T>&& values) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owned->data();
  const size_t size = owned->size();
  nb::capsule owner(owned.release(),
                    [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return Result<T>(data, {size}, owner);
}

void require(bool holds, const char* what) {
  if (!holds) throw Damaged(what);
}

class Postings {
 public:
  Postings(Array<uint32_t> positions, Array<uint8_t> alive, bool wide) {
    require(alive.size() >= (positions.size() + 7) / 8, "the alive bitmap is too short");
    view_.wide = wide;
    view_.positions = positions.data();
    view_.alive = alive.data();
    view_.documents = positions.size();
    keep(positions);
    keep(alive);
  }

  template <class Weight>
  void add(uint32_t first, uint32_t count, Array<uint32_t> terms, Array<uint32_t> starts,
           Array<Weight> maxima, Array<int32_t> rows, Array<uint16_t> documents,
           Array<Weight> weights, Array<Weight> blocks, size_t row_length) {
    require(view_.wide == (sizeof(Weight) == 2), "the width of the weights is another one");
    require(terms.size() == starts.size() && terms.size() == maxima.size() &&
                terms.size() == rows.size(),
            "the columns of a window's terms differ in length");
    require(documents.size() == weights.size(), "a window's documents and weights differ in length");
    require(count > 0 && count <= kWindow && first + size_t{count} <= view_.documents &&
                first == next_,
            "a window's documents lie outside the index");
    require(row_length % 64 == 0 && row_length * kBlock >= count &&
                row_length * kBlock <= kWindow + 64 * kBlock && blocks.size() % row_length == 0,
            "a window's block maxima have the wrong length");
    view_.windows.push_back({terms.data(), starts.data(), maxima.data(), rows.data(), terms.size(),
                             documents.data(), weights.data(), nullptr, documents.size(),
                             blocks.data(), blocks.size() / row_length, row_length, first, count});
    next_ = first + count;
    keep(terms);
    keep(starts);
    keep(maxima);
    keep(rows);
    keep(documents);
    keep(weights);
    keep(blocks);
  }

  void add_floats(size_t window, Array<float> floats) {
    require(window < view_.windows.size() && floats.size() == view_.windows[window].postings,
            "a window's floats and postings differ in length");
    view_.windows[window].floats = floats.data();
    keep(floats);
  }

  Result<uint32_t> term_maxima(Array<uint32_t> terms) const {
    std::vector<uint32_t> maxima(terms.size());
    for (size_t i = 0; i < terms.size(); ++i) maxima[i] = term_maximum(view_, terms.data()[i]);
    return to_numpy(std::move(maxima));
  }

  nb::tuple search(Array<int64_t> indptr, Array<uint32_t> terms, Array<int32_t> weights, size_t k,
                   Array<uint32_t> floors, int method, const std::string& isa) const {
    const size_t queries = floors.size();
    if (indptr.size() != queries + 1 || terms.size() != weights.size() || k == 0)
      throw std::invalid_argument("the arrays of a batch do not fit each other");
    for (size_t i = 0; i < queries; ++i)
      if (indptr.data()[i] < 0 || indptr.data()[i] > indptr.data()[i + 1] ||
          static_cast<size_t>(indptr.data()[i + 1]) > terms.size())
        throw std::invalid_argument("indptr leaves the batch");
    const Loops* loops = loops_for(isa);
    if (loops == nullptr) throw std::invalid_argument("no such instruction set here: " + isa);
    std::vector<int64_t> ends = {0};
    std::vector<uint32_t> documents, scores;
    {
      nb::gil_scoped_release released;
      // A window of sums is worth keeping between calls; one a thread, so no lock.
      static thread_local Scratch kept;
      Scratch& scratch = kept;
      try {
        for (size_t i = 0; i < queries; ++i) {
          const int64_t begin = indptr.data()[i], end = indptr.data()[i + 1];
          const Query query = {terms.data() + begin, weights.data() + begin,
                               static_cast<size_t>(end - begin)};
          lsr::search(view_, query, k, floors.data()[i], static_cast<Method>(method), *loops,
                      scratch);
          for (const Hit& hit : scratch.hits) {
            documents.push_back(hit.document);
            scores.push_back(hit.score);
          }
          ends.push_back(static_cast<int64_t>(documents.size()));
        }
      } catch (...) {
        scratch = Scratch();  // its sums must be zero when the next query starts
        throw;
      }
    }
    return nb::make_tuple(to_numpy(std::move(ends)), to_numpy(std::move(documents)),
                          to_numpy(std::move(scores)));
  }

  Result<uint32_t> lookup(Array<uint32_t> documents, Array<uint32_t> terms) const {
    return look<uint32_t>(documents, terms, [&](const Window& window, int64_t at) -> uint32_t {
      return view_.wide ? static_cast<const uint16_t*>(window.weights)[at]
                        : static_cast<const uint8_t*>(window.weights)[at];
    });
  }

  Result<float> lookup_floats(Array<uint32_t> documents, Array<uint32_t> terms) const {
    for (const Window& window : view_.windows)
      if (window.floats == nullptr) throw std::invalid_argument("the floats are not kept");
    return look<float>(documents, terms,
                       [](const Window& window, int64_t at) { return window.floats[at]; });
  }

 private:
  // A value for each (document, term), documents outer; 0 where there is no posting.
  template <class T, class Read>
  Result<T> look(const Array<uint32_t>& documents, const Array<uint32_t>& terms, Read read) const {
    std::vector<T> values(documents.size() * terms.size());
    for (size_t d = 0; d < documents.size(); ++d) {
      if (documents.data()[d] >= view_.documents || next_ != view_.documents)
        throw std::invalid_argument("no such document");
      for (size_t t = 0; t < terms.size(); ++t) {
        const Window* window = nullptr;
        const int64_t at = find_posting(view_, documents.data()[d], terms.data()[t], &window);
        if (at >= 0) values[d * terms.size() + t] = read(*window, at);
      }
    }
    return to_numpy(std::move(values));
  }

  template <class A>
  void keep(const A& array) {
    kept_.push_back(nb::cast(array));
  }

  View view_;
  uint32_t next_ = 0;
  std::vector<nb::object> kept_;  // the arrays the view points into
};

}  // namespace
}  // namespace lsr

NB_MODULE(_kernels, m) {
  using lsr::Postings;
  m.doc() = "Compiled search over the postings of an index.";
  nb::exception<lsr::Damaged>(m, "Damaged");
  m.def("available_isas", &lsr::available_isas,
        "Instruction sets usable on this machine, best last.");
  nb::class_<Postings>(m, "Postings", "The windows of an index, in order.")
      .def(nb::init<lsr::Array<uint32_t>, lsr::Array<uint8_t>, bool>(), "positions"_a, "alive"_a,
           "wide"_a)
      .def("add", &Postings::add<uint8_t>, "first"_a, "count"_a, "terms"_a, "starts"_a, "maxima"_a,
           "rows"_a, "documents"_a, "weights"_a, "blocks"_a, "row_length"_a)
      .def("add", &Postings::add<uint16_t>, "first"_a, "count"_a, "terms"_a, "starts"_a,
           "maxima"_a, "rows"_a, "documents"_a, "weights"_a, "blocks"_a, "row_length"_a)
      .def("add_floats", &Postings::add_floats, "window"_a, "floats"_a)
      .def("term_maxima", &Postings::term_maxima, "terms"_a)
      .def("search", &Postings::search, "indptr"_a, "terms"_a, "weights"_a, "k"_a, "floors"_a,
           "method"_a, "isa"_a)
      .def("lookup", &Postings::lookup, "documents"_a, "terms"_a)
      .def("lookup_floats", &Postings::lookup_floats, "documents"_a, "terms"_a);
}
