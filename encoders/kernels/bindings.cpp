// Python sees a WordPiece, a Bert and a Head: text to token ids, those to hidden states, and those
// to sparse rows.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "bert.h"
#include "head.h"
#include "native/arrays.h"
#include "native/isa.h"
#include "wide.h"
#include "wordpiece.h"

namespace lsr::encoders {

using namespace nb::literals;

namespace {

const Isas<Loops>& isas() {
  static const Isas<Loops> all = {
      {"scalar", &kScalarLoops, true},
#ifdef LSR_X86
      {"avx2", &kAvx2Loops, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
#ifdef LSR_AVXVNNI
      {"avxvnni", &kAvxVnniLoops, __builtin_cpu_supports("avxvnni"), false},
#endif
      {"avx512", &kAvx512Loops, has_avx512()},
      {"avx512bf16", &kAvx512Bf16Loops, __builtin_cpu_supports("avx512bf16")},
#endif
  };
  return all;
}

// Sums of products of bytes stay within 32 bits up to here.
constexpr size_t kMostWidth = 1 << 16;

// The result of some work that needs no Python.
template <class Work>
auto unlocked(const Work& work) {
  const nb::gil_scoped_release released;
  return work();
}

nb::tuple arrays_of(Rows&& rows) {
  return to_tuple(std::move(rows.ends), std::move(rows.terms), std::move(rows.weights));
}

struct NotFinite : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws unless the lengths are those of `rows` rows, none beyond `most`.
void check_lengths(const Array<int64_t>& lengths, size_t rows, size_t most) {
  size_t left = rows;
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int64_t length = lengths.data()[i];
    require(length >= 0 && static_cast<size_t>(length) <= std::min(left, most),
            "a text's length is impossible");
    left -= static_cast<size_t>(length);
  }
  require(left == 0, "the lengths do not make up the rows");
}

// The arrays of a model by name, each of the shape that is asked for.
class Tensors {
 public:
  explicit Tensors(const nb::dict& arrays) : arrays_(arrays) {}

  bool has(const std::string& name) const { return arrays_.contains(name.c_str()); }
  Matrix matrix(const std::string& name) const {
    return nb::cast<Matrix>(nb::object(arrays_[name.c_str()]));
  }
  Linear linear(const Loops& loops, Precision precision, const std::string& name, size_t columns,
                size_t width) const {
    const Matrix weight = matrix(name + ".weight");
    require(weight.shape(0) == columns && weight.shape(1) == width, name + " has another shape");
    return Linear(loops, precision, weight.data(), vector(name + ".bias", columns).data(), columns,
                  width);
  }
  Norm norm(const std::string& name, size_t width) const {
    return {vector(name + ".gamma", width), vector(name + ".beta", width)};
  }

 private:
  std::vector<float> vector(const std::string& name, size_t size) const {
    const auto array = nb::cast<Array<float>>(nb::object(arrays_[name.c_str()]));
    require(array.size() == size, name + " has another size");
    return std::vector<float>(array.data(), array.data() + size);
  }

  const nb::dict& arrays_;
};

class HeadModel {
 public:
  HeadModel(const std::string& isa, Matrix weight, Array<float> bias)
      : weight_(weight),
        head_(isas().loops(isa), weight.data(), checked(weight, bias), weight.shape(0),
              weight.shape(1)) {}

  // Rows of some texts: (ends, terms, weights).
  nb::tuple pool(Matrix hidden, Array<int64_t> lengths, int pooling, int activation,
                 bool screened) const {
    require(hidden.shape(1) == weight_.shape(1), "hidden states have another width");
    check_lengths(lengths, hidden.shape(0), hidden.shape(0));
    return arrays_of(
        unlocked([&] { return pooled(hidden.data(), lengths, pooling, activation, screened); }));
  }

  // The same without Python: hidden states of as many positions as the lengths say.
  Rows pooled(const float* hidden, const Array<int64_t>& lengths, int pooling, int activation,
              bool screened) const {
    Rows rows;
    const auto positions = static_cast<size_t>(
        std::accumulate(lengths.data(), lengths.data() + lengths.size(), int64_t{0}));
    if (!std::all_of(hidden, hidden + positions * width(),
                     [](float value) { return std::isfinite(value); }))
      throw NotFinite("hidden states are not finite");
    head_.pool(hidden, lengths.data(), lengths.size(), static_cast<Pooling>(pooling),
               static_cast<Activation>(activation), screened, rows);
    return rows;
  }

  // Fits the screen to hidden states of some texts; see screen.h.
  void fit(Matrix basis, Matrix inverse, Array<float> mean, Matrix hidden, Array<int64_t> lengths) {
    for (const Matrix& matrix : {basis, inverse})
      require(matrix.shape(0) == width() && matrix.shape(1) == width(),
              "the basis has another width");
    require(mean.size() == width(), "the basis has another width");
    require(hidden.shape(1) == width(), "hidden states have another width");
    require(hidden.shape(0) > 0, "no positions to fit to");
    check_lengths(lengths, hidden.shape(0), hidden.shape(0));
    nb::gil_scoped_release released;
    head_.fit({basis.data(), inverse.data(), mean.data()}, hidden.data(), lengths.data(),
              lengths.size());
  }

  size_t width() const { return weight_.shape(1); }

 private:
  static const float* checked(const Matrix& weight, const Array<float>& bias) {
    require(weight.shape(0) > 0 && weight.shape(1) > 0 && weight.shape(1) <= kMostWidth &&
                weight.shape(0) <= (size_t{1} << 32) && bias.size() == weight.shape(0),
            "the head's shapes do not fit each other");
    return bias.data();
  }

  Matrix weight_;  // held while the head points into it
  Head head_;
};

class BertModel {
 public:
  BertModel(const std::string& isa, int precision, size_t layers, size_t heads, float epsilon,
            const nb::dict& arrays)
      : words_(Tensors(arrays).matrix("words")), positions_(Tensors(arrays).matrix("positions")) {
    const Tensors tensors(arrays);
    const Loops& loops = isas().loops(isa);
    const auto kind = static_cast<Precision>(precision);
    const size_t width = words_.shape(1);
    require(width > 0 && width <= kMostWidth && positions_.shape(1) == width && heads > 0 &&
                width % heads == 0,
            "the model's widths do not fit each other");
    const size_t inner = layers == 0 ? 0 : tensors.matrix("layers.0.up.weight").shape(0);
    require(inner <= kMostWidth, "the model is too wide");
    bert_ = std::make_unique<Bert>(Bert{loops,
                                        width,
                                        heads,
                                        inner,
                                        epsilon,
                                        words_.data(),
                                        positions_.data(),
                                        words_.shape(0),
                                        positions_.shape(0),
                                        tensors.norm("embedding_norm", width),
                                        {},
                                        tensors.has("transform.weight"),
                                        {},
                                        {}});
    for (size_t i = 0; i < layers; ++i) {
      const std::string name = "layers." + std::to_string(i) + ".";
      bert_->layers.push_back(
          {tensors.linear(loops, kind, name + "query_key_value", 3 * width, width),
           tensors.linear(loops, kind, name + "output", width, width),
           tensors.norm(name + "output_norm", width),
           tensors.linear(loops, kind, name + "up", inner, width),
           tensors.linear(loops, kind, name + "down", width, inner),
           tensors.norm(name + "down_norm", width)});
    }
    if (bert_->transforms) {
      // One product of many, and what it rounds nothing makes good: always floats.
      bert_->transform = tensors.linear(loops, Precision::kFp32, "transform", width, width);
      bert_->transform_norm = tensors.norm("transform_norm", width);
    }
  }

  // Hidden states, a row a position; with `after`, those after each of these layers, one after
  // another.
  Result<float, 2> hidden(Array<uint32_t> ids, Array<int64_t> lengths,
                          const std::vector<size_t>& after) const {
    check(ids, lengths);
    for (size_t i = 0; i < after.size(); ++i)
      require(after[i] > (i == 0 ? 0 : after[i - 1]) && after[i] <= bert_->layers.size(),
              "the layers do not ascend, or the model has fewer");
    const size_t rows = ids.size() * std::max<size_t>(after.size(), 1);
    std::vector<float> states(rows * bert_->width);
    unlocked([&] { bert_->run(ids.data(), lengths.data(), lengths.size(), states.data(), after); });
    const size_t shape[2] = {rows, bert_->width};
    return to_numpy(std::move(states), shape);
  }

  // Rows of some texts by a head on top: (ends, terms, weights).  What `hidden` gives goes to
  // `pool` in memory that is kept between calls, one a thread.
  nb::tuple rows(const HeadModel& head, Array<uint32_t> ids, Array<int64_t> lengths, int pooling,
                 int activation) const {
    check(ids, lengths);
    require(head.width() == bert_->width, "the head is of another width");
    return arrays_of(unlocked([&] {
      thread_local std::vector<float> states;
      states.resize(ids.size() * bert_->width);
      bert_->run(ids.data(), lengths.data(), lengths.size(), states.data());
      return head.pooled(states.data(), lengths, pooling, activation, true);
    }));
  }

 private:
  // Throws unless these are ids of the model and the lengths of texts that it can read.
  void check(const Array<uint32_t>& ids, const Array<int64_t>& lengths) const {
    check_lengths(lengths, ids.size(), bert_->position_count);
    for (size_t i = 0; i < ids.size(); ++i)
      require(ids.data()[i] < bert_->word_count, "a token id is beyond the model's words");
  }

  Matrix words_, positions_;  // held while the model points into them
  std::unique_ptr<Bert> bert_;
};

class WordPieceModel {
 public:
  WordPieceModel(const nb::dict& pieces, const std::string& continuing,
                 const std::vector<std::pair<int, std::string>>& characters,
                 std::vector<std::string> whole, const std::string& unknown, size_t longest_word)
      : model_(read(pieces, continuing), read(characters), std::move(whole),
               nb::cast<uint32_t>(nb::object(pieces[unknown.c_str()])), longest_word) {}

  // The ids of each text, or None where it was refused.
  nb::list encode(const nb::list& texts, const std::vector<uint32_t>& before, size_t most,
                  const std::vector<uint32_t>& after) const {
    struct Text {
      const char* characters;
      size_t size;
      std::vector<uint32_t> ids;
      bool taken = false;
    };
    std::vector<Text> all;
    for (const nb::handle text : texts) {
      Py_ssize_t size = 0;
      const char* characters = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
      if (characters == nullptr) throw nb::python_error();
      all.push_back({characters, static_cast<size_t>(size), before, false});
    }
    unlocked([&] {
      for (Text& text : all) {
        text.taken = model_.encode(text.characters, text.size, most, text.ids);
        text.ids.insert(text.ids.end(), after.begin(), after.end());
      }
    });
    nb::list encoded;
    for (Text& text : all)
      encoded.append(text.taken ? nb::cast(to_numpy(std::move(text.ids))) : nb::none());
    return encoded;
  }

 private:
  static std::vector<Piece> read(const nb::dict& pieces, const std::string& continuing) {
    std::vector<Piece> all;
    for (const auto& [key, id] : pieces) {
      auto characters = nb::cast<std::string>(key);
      const bool inside = characters.compare(0, continuing.size(), continuing) == 0;
      const auto number = nb::cast<uint32_t>(id);
      // A token that only looks like the inside of a word can also begin one.
      all.push_back({characters, false, number});
      if (inside) all.push_back({characters.substr(continuing.size()), true, number});
    }
    return all;
  }

  static std::vector<Character> read(const std::vector<std::pair<int, std::string>>& characters) {
    std::vector<Character> all;
    for (const auto& [kind, written] : characters) {
      require(0 <= kind && kind <= static_cast<int>(Kind::kDropped), "no such kind of character");
      all.push_back({static_cast<Kind>(kind), written});
    }
    return all;
  }

  WordPiece model_;
};

// The largest product of each row of a weight with the positions of a text, of which there are
// some.
auto largest(const std::string& isa, Matrix weight, Matrix hidden) {
  require(hidden.shape(0) > 0 && weight.shape(1) == hidden.shape(1) && weight.shape(1) > 0 &&
              weight.shape(1) <= kMostWidth,
          "the shapes do not fit each other");
  const Loops& loops = isas().loops(isa);
  std::vector<float> values(weight.shape(0));
  unlocked([&] {
    largest_products(loops, weight.data(), weight.shape(0), weight.shape(1), hidden.data(),
                     hidden.shape(0), values.data());
  });
  return to_numpy(std::move(values));
}

}  // namespace

void bind(nb::module_& m) {
  nb::exception<NotFinite>(m, "NotFinite");
  m.def(
      "available_isas", [] { return isas().names(); },
      "Instruction sets usable on this machine, best last.");
  m.def("largest_products", &largest, "isa"_a, "weight"_a, "hidden"_a,
        "The largest product of each row of a weight with the positions of a text.");
  nb::class_<WordPieceModel>(m, "WordPiece", "Text to token ids.")
      .def(nb::init<const nb::dict&, const std::string&,
                    const std::vector<std::pair<int, std::string>>&, std::vector<std::string>,
                    const std::string&, size_t>(),
           "pieces"_a, "continuing"_a, "characters"_a, "whole"_a, "unknown"_a, "longest_word"_a)
      .def("encode", &WordPieceModel::encode, "texts"_a, "before"_a, "most"_a, "after"_a);
  nb::class_<HeadModel>(m, "Head", "Hidden states to pooled term weights.")
      .def(nb::init<const std::string&, Matrix, Array<float>>(), "isa"_a, "weight"_a, "bias"_a)
      .def("pool", &HeadModel::pool, "hidden"_a, "lengths"_a, "pooling"_a, "activation"_a,
           "screened"_a = true)
      .def("fit", &HeadModel::fit, "basis"_a, "inverse"_a, "mean"_a, "hidden"_a, "lengths"_a);
  nb::class_<BertModel>(m, "Bert", "Token ids to hidden states.")
      .def(nb::init<const std::string&, int, size_t, size_t, float, const nb::dict&>(), "isa"_a,
           "precision"_a, "layers"_a, "heads"_a, "epsilon"_a, "arrays"_a)
      .def("hidden", &BertModel::hidden, "ids"_a, "lengths"_a, "after"_a = std::vector<size_t>())
      .def("rows", &BertModel::rows, "head"_a, "ids"_a, "lengths"_a, "pooling"_a, "activation"_a);
}

}  // namespace lsr::encoders
