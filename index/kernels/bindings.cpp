// Python sees two classes: Postings, the partitions of an index, searched a batch at a time, and
// Bisection.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "isas.h"
#include "native/arrays.h"
#include "order.h"
#include "queries.h"
#include "search.h"

namespace lsr::index {

using namespace nb::literals;

namespace {

void require_sound(bool holds, const char* damage) {
  if (!holds) throw Damaged(damage);
}

// Rows of a matrix in compressed form; throws when its arrays do not fit each other.
size_t check_batch(const Array<int64_t>& indptr, const Array<uint32_t>& terms,
                   const Array<float>& weights) {
  require(indptr.size() > 0 && terms.size() == weights.size(),
          "the arrays of a batch do not fit each other");
  for (size_t i = 0; i + 1 < indptr.size(); ++i)
    require(indptr.data()[i] >= 0 && indptr.data()[i] <= indptr.data()[i + 1] &&
                static_cast<size_t>(indptr.data()[i + 1]) <= terms.size(),
            "indptr leaves the batch");
  return indptr.size() - 1;
}

class Postings {
 public:
  Postings(Array<uint32_t> positions, Array<uint8_t> alive, int bits, double step, double error)
      : step_(step), error_(error) {
    require_sound(alive.size() >= (positions.size() + 7) / 8, "the alive bitmap is too short");
    view_.wide = bits == 16;
    view_.lists = bits == 1;
    view_.positions = keep(positions);
    view_.alive = keep(alive);
    view_.documents = positions.size();
  }

  // The next partition of the index; columns as `Segment.partition` names them.
  void add(uint32_t count, const nb::dict& columns) {
    const size_t superblocks = (size_t{count} + kSuperblockDocuments - 1) / kSuperblockDocuments;
    require_sound(
        count > 0 && superblocks <= kMostSuperblocks && next_ + size_t{count} <= view_.documents,
        "a partition's documents lie outside the index");
    Partition partition = {};
    partition.first = next_;
    partition.count = count;
    partition.superblocks = static_cast<uint32_t>(superblocks);
    partition.first_superblock = static_cast<uint32_t>(view_.partition_of_superblock.size());
    if (view_.lists)
      add_lists(partition, columns);
    else
      add_weighed(partition, columns);
    view_.partition_of_superblock.insert(view_.partition_of_superblock.end(), superblocks,
                                         static_cast<uint32_t>(view_.partitions.size()));
    view_.partitions.push_back(partition);
    next_ += count;
  }

  // The integer form of queries: (indptr, terms, weights, units).
  nb::tuple quantize(Array<int64_t> indptr, Array<uint32_t> terms, Array<float> weights) const {
    const size_t queries = check_batch(indptr, terms, weights);
    std::vector<int64_t> ends = {0};
    std::vector<uint32_t> kept;
    std::vector<int32_t> integers;
    std::vector<double> units;
    Located located;
    Scaled scaled;
    for (size_t i = 0; i < queries; ++i) {
      scale_row(indptr, terms, weights, i, located, scaled);
      kept.insert(kept.end(), scaled.terms.begin(), scaled.terms.end());
      integers.insert(integers.end(), scaled.weights.begin(), scaled.weights.end());
      ends.push_back(static_cast<int64_t>(kept.size()));
      units.push_back(scaled.unit);
    }
    return to_tuple(std::move(ends), std::move(kept), std::move(integers), std::move(units));
  }

  // The best k of each query, best first, one query after the other: (ends, documents, scores).
  nb::tuple search(Array<int64_t> indptr, Array<uint32_t> terms, Array<float> weights, size_t k,
                   int method, const std::string& isa, bool exact_floats) const {
    const size_t queries = check_batch(indptr, terms, weights);
    require(k > 0, "k is 0");
    const Loops& loops = isas().loops(isa);
    for (const Partition& partition : view_.partitions)
      require(!exact_floats || partition.floats.data != nullptr, "the floats are not kept");
    std::vector<size_t> ends(queries);
    std::vector<uint32_t> documents;
    std::vector<double> scores;
    {
      nb::gil_scoped_release released;
      // Each thread keeps its working memory between calls, so no lock is needed.
      static thread_local Scratch scratch;
      static thread_local Located located;
      static thread_local Scaled scaled;
      for (size_t i = 0; i < queries; ++i) {
        scale_row(indptr, terms, weights, i, located, scaled);
        const Query query = {scaled, located};
        const uint32_t margin = exact_floats ? scaled.margin(step_, error_) : 0;
        index::search(view_, query, {k, margin, static_cast<Method>(method)}, loops, scratch);
        if (exact_floats) rescore(view_, query, k, loops, scratch);
        const std::vector<Hit>& hits = scratch.top.hits;
        for (size_t hit = 0; hit < hits.size(); ++hit) {
          documents.push_back(hits[hit].document);
          scores.push_back(exact_floats ? scratch.scores[hit] : hits[hit].score() * scaled.unit);
        }
        ends[i] = documents.size();
      }
    }
    return nb::make_tuple(ends, to_numpy(std::move(documents)), to_numpy(std::move(scores)));
  }

  // Stored weights, documents outer; 0 where there is no posting.
  Result<uint32_t> lookup(Array<uint32_t> documents, Array<uint32_t> terms) const {
    return look<uint32_t>(documents, terms,
                          [](const Partition&, const Posting& posting) { return posting.weight; });
  }

  // The same of the weights as given.
  Result<float> lookup_floats(Array<uint32_t> documents, Array<uint32_t> terms) const {
    return look<float>(documents, terms, float_of);
  }

  // A document's terms in ascending order, its stored weights, and those as given where kept.
  nb::tuple vector(uint32_t document) const {
    require(document < next_, "no such document");
    const Partition& partition = view_.partition_of(document);
    std::vector<uint32_t> terms, stored;
    std::vector<float> floats;
    size_t sparse = 0, dense = 0;
    while (sparse < partition.sparse_terms.size || dense < partition.dense_terms.size) {
      const bool is_sparse =
          dense == partition.dense_terms.size ||
          (sparse < partition.sparse_terms.size &&
           partition.sparse_terms.data[sparse] < partition.dense_terms.data[dense]);
      const uint32_t term =
          is_sparse ? partition.sparse_terms.data[sparse++] : partition.dense_terms.data[dense++];
      const Posting posting = find_posting(partition, document, term);
      if (posting.weight == 0) continue;
      terms.push_back(term);
      stored.push_back(posting.weight);
      if (partition.floats.data != nullptr) floats.push_back(float_of(partition, posting));
    }
    return to_tuple(std::move(terms), std::move(stored), std::move(floats));
  }

 private:
  static float float_of(const Partition& partition, const Posting& posting) {
    require_sound(posting.index < partition.floats.size, "a weight as given is missing");
    return partition.floats.data[posting.index];
  }

  void add_lists(Partition& partition, const nb::dict& columns) {
    partition.sparse_terms = column<uint32_t>(columns, "list_terms");
    partition.list_starts = column<uint32_t>(columns, "list_starts", partition.sparse_terms.size);
    partition.lists = column<uint8_t>(columns, "lists");
    require_sound(partition.lists.size >= kListsPadding, "the lists of a partition are cut short");
  }

  void add_weighed(Partition& partition, const nb::dict& columns) {
    const size_t superblocks = partition.superblocks;
    partition.sparse_terms = column<uint32_t>(columns, "sparse_terms");
    const size_t sparse = partition.sparse_terms.size;
    partition.sparse_starts = column<uint32_t>(columns, "sparse_starts", sparse);
    partition.sparse_maxima = weights(columns, "sparse_maxima", sparse);
    partition.documents = column<uint16_t>(columns, "documents");
    partition.weights = weights(columns, "weights", partition.documents.size);
    partition.dense_terms = column<uint32_t>(columns, "dense_terms");
    const size_t dense = partition.dense_terms.size;
    partition.first_postings = column<uint32_t>(columns, "first_postings", dense);
    partition.payload_starts = column<uint32_t>(columns, "payload_starts", dense);
    partition.codebooks = weights(columns, "codebooks", dense * kCodes);
    partition.maxima = column<uint8_t>(columns, "maxima", dense * superblocks * kSuperblockCodes);
    partition.chunks = column<uint16_t>(columns, "chunks", dense * superblocks);
    partition.payload = column<uint8_t>(columns, "payload");
    if (columns.contains("floats")) {
      partition.floats = column<float>(columns, "floats");
      partition.ranks = column<uint16_t>(columns, "ranks", dense * superblocks);
    }
  }

  // A value for each (document, term), documents outer; 0 where there is no posting.
  template <class T, class Read>
  Result<T> look(const Array<uint32_t>& documents, const Array<uint32_t>& terms, Read read) const {
    std::vector<T> values(documents.size() * terms.size());
    for (size_t d = 0; d < documents.size(); ++d) {
      require(documents.data()[d] < next_, "no such document");
      const Partition& partition = view_.partition_of(documents.data()[d]);
      for (size_t t = 0; t < terms.size(); ++t) {
        const Posting posting = find_posting(partition, documents.data()[d], terms.data()[t]);
        if (posting.weight != 0) values[d * terms.size() + t] = read(partition, posting);
      }
    }
    return to_numpy(std::move(values));
  }

  void scale_row(const Array<int64_t>& indptr, const Array<uint32_t>& terms,
                 const Array<float>& weights, size_t row, Located& located, Scaled& scaled) const {
    const int64_t begin = indptr.data()[row];
    const auto size = static_cast<size_t>(indptr.data()[row + 1] - begin);
    locate(view_, terms.data() + begin, size, located);
    scale(located, terms.data() + begin, weights.data() + begin, size, step_, scaled);
  }

  // The values of a column; `size` is what its length must be.
  template <class T>
  const T* column(const nb::dict& columns, const char* name, size_t size) {
    const Column<T> values = column<T>(columns, name);
    require_sound(values.size == size, "the columns of a partition differ in length");
    return values.data;
  }

  template <class T>
  Column<T> column(const nb::dict& columns, const char* name) {
    const auto array = nb::cast<Array<T>>(columns[name]);
    return {keep(array), array.size()};
  }

  Weights weights(const nb::dict& columns, const char* name, size_t size) {
    if (view_.wide) return {column<uint16_t>(columns, name, size), true};
    return {column<uint8_t>(columns, name, size), false};
  }

  template <class T>
  const T* keep(const Array<T>& array) {
    kept_.push_back(nb::cast(array));
    return array.data();
  }

  View view_;
  double step_, error_;
  uint32_t next_ = 0;
  std::vector<nb::object> kept_;  // the arrays the view points into
};

// Order is an array of document numbers, arranged in place; without the interpreter's lock.
template <void (Bisection::*arrange)(uint32_t*, size_t) const>
void arrange_slice(const Bisection& bisection,
                   nb::ndarray<uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> order,
                   size_t begin, size_t end) {
  require(begin <= end && end <= order.size(), "the slice leaves the order");
  for (size_t i = begin; i < end; ++i)
    require(order.data()[i] < bisection.documents(), "no such document");
  nb::gil_scoped_release released;
  (bisection.*arrange)(order.data() + begin, end - begin);
}

}  // namespace

void bind(nb::module_& m) {
  nb::exception<Damaged>(m, "Damaged");
  m.def(
      "available_isas", [] { return isas().names(); },
      "Instruction sets usable on this machine, best last.");
  nb::exception<QueryTooLong>(m, "QueryTooLong");
  nb::class_<Postings>(m, "Postings", "The partitions of an index, in order.")
      .def(nb::init<Array<uint32_t>, Array<uint8_t>, int, double, double>(), "positions"_a,
           "alive"_a, "bits"_a, "step"_a, "error"_a)
      .def("add", &Postings::add, "count"_a, "columns"_a)
      .def("quantize", &Postings::quantize, "indptr"_a, "terms"_a, "weights"_a)
      .def("search", &Postings::search, "indptr"_a, "terms"_a, "weights"_a, "k"_a, "method"_a,
           "isa"_a, "exact_floats"_a)
      .def("lookup", &Postings::lookup, "documents"_a, "terms"_a)
      .def("lookup_floats", &Postings::lookup_floats, "documents"_a, "terms"_a)
      .def("vector", &Postings::vector, "document"_a);
  nb::class_<Bisection>(m, "Bisection", "Documents to be ordered by the terms they share.")
      .def(nb::init<size_t>(), "strongest"_a)
      .def(
          "add",
          [](Bisection& bisection, Array<int64_t> indptr, Array<uint32_t> terms,
             Array<float> weights) {
            const size_t rows = check_batch(indptr, terms, weights);
            bisection.add(indptr.data(), terms.data(), weights.data(), rows);
          },
          "indptr"_a, "terms"_a, "weights"_a)
      .def("split", &arrange_slice<&Bisection::split>, "order"_a, "begin"_a, "end"_a)
      .def("finish", &arrange_slice<&Bisection::finish>, "order"_a, "begin"_a, "end"_a);
}

}  // namespace lsr::index
