// The loops of search on random, extreme and damaged postings; all sets give
// the same integers.
#include <algorithm>
#include <utility>

#include "check.h"
#include "index/kernels/isas.h"
#include "index/kernels/postings.h"

namespace lsr {
namespace {

using namespace index;

constexpr int kCases = 100;

uint8_t any_byte(Random& random) { return static_cast<uint8_t>(random.bits()); }

// Bits of which none, few, half, most or all are ones.
enum class Fill { kNone, kFew, kHalf, kMost, kAll };
constexpr Fill kFills[] = {Fill::kNone, Fill::kFew, Fill::kHalf, Fill::kMost, Fill::kAll};

uint64_t any_bits(Random& random, Fill fill) {
  switch (fill) {
    case Fill::kNone:
      return 0;
    case Fill::kFew:
      return random.bits() & random.bits() & random.bits();
    case Fill::kHalf:
      return random.bits();
    case Fill::kMost:
      return random.bits() | random.bits() | random.bits();
    default:
      return ~uint64_t{0};
  }
}

// A term's postings as the format has them, or damaged.
class Term {
 public:
  Term(Random& random, size_t superblocks, unsigned planes) {
    const Fill blocks = random.any(kFills), documents = random.any(kFills);
    const bool largest = random.one_in(4), damaged = random.one_in(5);
    for (size_t superblock = 0; superblock < superblocks; ++superblock) {
      const uint64_t present = any_bits(random, random.one_in(8) ? random.any(kFills) : blocks);
      for (size_t i = 0; i < kSuperblockCodes; ++i) {
        const auto code = [&](size_t block) {
          return present >> block & 1 ? 1 + random.below(15) : 0;
        };
        codes_.push_back(static_cast<uint8_t>(code(i) | code(i + kSuperblockCodes) << 4));
      }
      last_ = static_cast<uint32_t>(payload_.size());
      chunks_.push_back(static_cast<uint16_t>(last_ / planes));
      int weights = 0;
      for (uint64_t left = present; left != 0; left &= left - 1) {
        payload_.push_back(static_cast<uint8_t>(any_bits(random, documents)));
        weights += __builtin_popcount(payload_.back());
      }
      for (size_t i = 0; i < static_cast<size_t>(weights) * planes; ++i)
        payload_.push_back(largest ? uint8_t{255} : any_byte(random));
      if (payload_.size() % planes != 0) payload_.push_back(0);
    }
    if (damaged)
      for (uint16_t& chunk : chunks_) chunk = static_cast<uint16_t>(random.bits());
    // What follows does not matter, so it is not zero.
    for (size_t i = 0; i < kPayloadPadding; ++i) payload_.push_back(any_byte(random));
  }

  Run run() const { return {codes_.data(), chunks_.data(), payload_.data(), last_}; }

 private:
  std::vector<uint8_t> codes_, payload_;
  std::vector<uint16_t> chunks_;
  uint32_t last_ = 0;
};

// The dense terms of a query: some have no postings in the partition.
struct Terms {
  Terms(Random& random, size_t rows, size_t superblocks, unsigned planes) {
    for (size_t row = 0; row < rows; ++row) terms.emplace_back(random, superblocks, planes);
    for (const Term& term : terms) runs.push_back(random.one_in(10) ? kNoRun : term.run());
  }

  std::vector<Term> terms;
  std::vector<Run> runs;
};

size_t any_row_count(Random& random) {
  return random.any<size_t>({0, 1, 2, 3, 4, 5, 8, 31, 32, 33, 70});
}
size_t any_superblock_count(Random& random, size_t rows) {
  return rows > 5 ? random.any<size_t>({1, 2, 3}) : random.any<size_t>({1, 7, 8, 9, 16, 17, 112});
}

void check_bound(const Loops& loops, Check& check) {
  Random random(1);
  for (int i = 0; i < kCases; ++i) {
    const size_t rows = any_row_count(random), superblocks = any_superblock_count(random, rows);
    const Terms terms(random, rows, superblocks, 1);
    std::vector<uint8_t> tables((rows + 1) * kCodes);
    const bool largest = random.one_in(4);
    for (uint8_t& value : tables) value = largest ? uint8_t{255} : any_byte(random);
    for (size_t at = 0; at < tables.size(); at += kCodes) tables[at] = 0;  // where no posting is
    // Bounds of sparse terms are there before; large ones make the sums wrap.
    std::vector<uint16_t> bounds;
    const Fill fill = random.any(kFills);
    for (size_t b = 0; b < superblocks * kSuperblock; ++b)
      bounds.push_back(static_cast<uint16_t>(any_bits(random, fill)));
    const auto bounded = [&](const Loops& set) {
      std::vector<uint16_t> sums = bounds, maxima(superblocks, 7);
      set.bound(terms.runs.data(), tables.data(), rows, superblocks, sums.data(), maxima.data());
      sums.insert(sums.end(), maxima.begin(), maxima.end());
      return sums;
    };
    check.expect_equal(bounded(loops), bounded(kScalarLoops), "bounds");
  }
}

void check_at_least(const Loops& loops, Check& check) {
  Random random(2);
  for (int i = 0; i < 50 * kCases; ++i) {
    const auto least =
        random.any<uint16_t>({0, 1, 0x7fff, 0x8000, 0xffff, static_cast<uint16_t>(random.bits())});
    uint16_t values[kSuperblock];
    for (uint16_t& value : values)
      value = static_cast<uint16_t>(random.one_in(2) ? random.bits() : least + random.below(3) - 1);
    check.expect(loops.at_least(values, least) == kScalarLoops.at_least(values, least),
                 "other values reach the least");
  }
}

// What a loop that finds documents found, in the order of documents.
template <class Find>
std::vector<std::pair<uint32_t, uint32_t>> found_by(const Find& find) {
  std::vector<uint32_t> documents(kCandidateRoom), scores(kCandidateRoom);
  const size_t count = find(documents.data(), scores.data());
  std::vector<std::pair<uint32_t, uint32_t>> found;
  for (size_t i = 0; i < count; ++i) found.emplace_back(documents[i], scores[i]);
  std::sort(found.begin(), found.end());
  return found;
}

uint32_t any_least(Random& random) {
  return random.any<uint32_t>({0, 1, random.below(100000), random.below(1u << 31), 0x7fffffff});
}

// The sums of an earlier term, near the end of the range or not.
std::vector<uint32_t> any_sums(Random& random, size_t count) {
  std::vector<uint32_t> sums(count);
  const uint32_t most = random.any({1u, 1000u, ~0u});
  for (uint32_t& sum : sums) sum = random.below(most);
  return sums;
}

void check_add(const Loops& loops, Check& check) {
  Random random(3);
  for (int i = 0; i < 4 * kCases; ++i) {
    const size_t count = any_row_count(random), superblocks = any_superblock_count(random, count);
    const unsigned planes = random.any({1u, 1u, 2u});
    const Terms terms(random, count, superblocks, planes);
    const bool largest = random.one_in(4);
    std::vector<int16_t> factors;
    std::vector<Quad> quads((count + 3) / 4, Quad{0, 0});
    for (size_t row = 0; row < count; ++row) {
      const uint32_t factor = largest ? (1u << 14) - 1 : random.below(1u << 14);
      factors.push_back(static_cast<int16_t>(factor));
      quads[row / 4].low |= (factor & 127) << (8 * (row % 4));
      quads[row / 4].high |= (factor >> 7) << (8 * (row % 4));
    }
    const Rows rows = {terms.runs.data(), factors.data(), quads.data(), count, planes};
    const auto first = random.below(static_cast<uint32_t>(superblocks));
    const size_t taken = random.one_in(2) ? 1 : superblocks - first;
    std::vector<uint64_t> wanted;
    const Fill fill = random.any(kFills);
    while (wanted.size() < taken) wanted.push_back(any_bits(random, fill));
    const std::vector<uint32_t> before = any_sums(random, taken * kSuperblockDocuments);
    const auto added = [&](const Loops& set) {
      std::vector<uint32_t> sums = before;
      set.add(rows, first, taken, wanted.data(), sums.data());
      // Those of other blocks may miss products.
      for (size_t d = 0; d < sums.size(); ++d)
        if ((wanted[d / kSuperblockDocuments] >> (d / kBlock % kSuperblock) & 1) == 0) sums[d] = 0;
      return sums;
    };
    check.expect_equal(added(loops), added(kScalarLoops), "sums");
  }
}

// Postings of a sparse term, with one before them and the values that loads may
// reach.
struct SparseTerm {
  SparseTerm(Random& random, size_t most, uint32_t first, uint32_t end, uint32_t largest) {
    for (size_t i = 0; i < most + 1; ++i)
      documents.push_back(static_cast<uint16_t>(first + random.below(end - first)));
    std::sort(documents.begin(), documents.end());
    documents.erase(std::unique(documents.begin(), documents.end()), documents.end());
    count = documents.size() - 1;
    documents.resize(documents.size() + kSlicePadding, 0xffff);
    for (size_t i = 0; i < documents.size(); ++i) {
      bytes.push_back(static_cast<uint8_t>(random.one_in(4) ? largest : 1 + random.below(largest)));
      words.push_back(static_cast<uint16_t>(random.bits()));
    }
  }

  size_t count;  // after the first
  std::vector<uint16_t> documents, words;
  std::vector<uint8_t> bytes;
};

void check_block_bounds(const Loops& loops, Check& check) {
  Random random(8);
  for (int i = 0; i < 10 * kCases; ++i) {
    const size_t most = random.any<size_t>({0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 500});
    // Bounds of a term are at most 250.
    const uint32_t largest = random.any({1u, 3u, 100u, 255u}), end = 250 * 65536 / largest;
    const uint32_t scale = random.one_in(4) ? end : random.below(end);
    const SparseTerm term(random, most, 0, random.any({8u, 100u, 57344u}), largest);
    for (const bool follows : {false, true}) {
      const auto bounded = [&](const Loops& set) {
        std::vector<uint16_t> blocks(term.count + kSlicePadding), values(blocks.size());
        set.block_bounds(term.documents.data() + 1, term.bytes.data() + 1, term.count, follows,
                         scale, blocks.data(), values.data());
        blocks.resize(term.count);
        blocks.insert(blocks.end(), values.data(), values.data() + term.count);
        return blocks;
      };
      check.expect_equal(bounded(loops), bounded(kScalarLoops), "blocks or bounds");
    }
  }
}

void check_add_slices(const Loops& loops, Check& check) {
  Random random(9);
  for (int i = 0; i < 5 * kCases; ++i) {
    const uint32_t first = random.below(112) * kSuperblockDocuments;
    const unsigned planes = random.any({1u, 2u});
    std::vector<SparseTerm> terms;
    for (uint32_t count = random.below(6); count > 0; --count)
      terms.emplace_back(random, random.any<size_t>({0, 1, 2, 7, 8, 9, 100}), first,
                         first + kSuperblockDocuments, 255);
    std::vector<Slice> slices;
    for (const SparseTerm& term : terms)
      slices.push_back({term.documents.data(),
                        planes == 2 ? static_cast<const void*>(term.words.data())
                                    : static_cast<const void*>(term.bytes.data()),
                        static_cast<uint32_t>(term.count + 1),
                        random.any({random.below(1u << 14), (1u << 14) - 1})});
    const std::vector<uint32_t> before = any_sums(random, kSuperblockDocuments);
    const auto added = [&](const Loops& set) {
      std::vector<uint32_t> sums = before;
      set.add_slices(slices.data(), slices.size(), planes, sums.data());
      return sums;
    };
    check.expect_equal(added(loops), added(kScalarLoops), "sums");
  }
}

void check_ranks(const Loops& loops, Check& check) {
  Random random(4);
  for (int i = 0; i < kCases; ++i) {
    const unsigned planes = random.any({1u, 2u});
    const size_t superblocks = any_superblock_count(random, 1);
    const Terms terms(random, 1, superblocks, planes);
    const uint32_t step = random.any({1u, 2u, 50u, 3000u});
    std::vector<uint32_t> documents;
    for (uint32_t d = random.below(step); d < superblocks * kSuperblockDocuments;
         d += 1 + random.below(step))
      documents.push_back(d);
    const auto ranks = [&](const Loops& set) {
      std::vector<uint32_t> ranks(documents.size(), 7);
      set.ranks(terms.runs[0], documents.data(), documents.size(), planes, ranks.data());
      return ranks;
    };
    check.expect_equal(ranks(loops), ranks(kScalarLoops), "ranks");
  }
}

// A coded list of documents (see lsr.index.postings.lists), and what may follow
// it.
std::vector<uint8_t> coded(const std::vector<uint32_t>& documents, unsigned order) {
  std::vector<bool> bits;
  const auto put = [&](uint64_t number, unsigned count) {
    while (count-- > 0) bits.push_back(number >> count & 1);
  };
  put(order, 4);
  uint32_t next = 0;
  for (const uint32_t document : documents) {
    const uint64_t number = document - next + (uint64_t{1} << order);
    const auto length = 64 - static_cast<unsigned>(__builtin_clzll(number));
    put(0, length - order - 1);
    put(number, length);
    next = document + 1;
  }
  std::vector<uint8_t> bytes((bits.size() + 7) / 8, 0);
  for (size_t i = 0; i < bits.size(); ++i)
    bytes[i / 8] = static_cast<uint8_t>(bytes[i / 8] | bits[i] << (7 - i % 8));
  return bytes;
}

void check_add_lists(const Loops& loops, Check& check) {
  Random random(5);
  for (int i = 0; i < kCases; ++i) {
    const size_t size = random.any<size_t>({0, 1, 3, 4, 5, 9});
    const uint32_t count = random.any({1u, 2u, 63u, 64u, 3000u, 57344u});
    const bool damaged = random.one_in(4);
    std::vector<std::vector<uint8_t>> bytes;
    std::vector<List> lists;
    std::vector<uint32_t> weights;
    bool sound = true;
    for (size_t term = 0; term < size; ++term) {
      const uint32_t step = random.any({1u, 3u, 100u, 20000u});
      std::vector<uint32_t> documents;
      for (uint32_t d = random.below(std::min(step, count)); d < count; d += 1 + random.below(step))
        documents.push_back(d);
      bytes.push_back(coded(documents, random.below(13)));
      if (damaged && random.one_in(2)) {
        sound = false;
        bytes.back().push_back(1);
      }
      const size_t length = bytes.back().size();
      for (size_t k = 0; k < kListsPadding; ++k) bytes.back().push_back(any_byte(random));
      lists.push_back({bytes.back().data(), bytes.back().data() + length});
      weights.push_back(random.any({1u, random.below(1000), ~0u}));
    }
    const std::vector<uint32_t> before = any_sums(random, count);
    std::vector<uint32_t> sums = before, expected = before;
    const bool added = loops.add_lists(lists.data(), weights.data(), size, count, sums.data());
    const bool twin =
        kScalarLoops.add_lists(lists.data(), weights.data(), size, count, expected.data());
    check.expect(added == twin && (added || !sound), "a list is taken for sound or damaged");
    if (added) check.expect_equal(sums, expected, "sums");
  }
}

void check_add_bitmap(const Loops& loops, Check& check) {
  Random random(6);
  for (int i = 0; i < 5 * kCases; ++i) {
    const uint32_t count = random.any({1u, 7u, 8u, 9u, 63u, 64u, 65u, 1000u, 1024u});
    const Fill fill = random.any(kFills);
    std::vector<uint8_t> bytes((count + 7) / 8 + 1);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(any_bits(random, fill));
    const size_t length = bytes.size();
    for (size_t k = 0; k < kListsPadding; ++k) bytes.push_back(any_byte(random));
    const List list = {bytes.data(), bytes.data() + length};
    const uint32_t weight = random.any({1u, random.below(1000), ~0u});
    const std::vector<uint32_t> before = any_sums(random, (count + 63) / 64 * 64);
    const auto added = [&](const Loops& set) {
      std::vector<uint32_t> sums = before;
      set.add_bitmap(list, weight, count, sums.data());
      return sums;
    };
    check.expect_equal(added(loops), added(kScalarLoops), "sums");
  }
}

void check_reach(const Loops& loops, Check& check) {
  Random random(7);
  for (int i = 0; i < 5 * kCases; ++i) {
    const uint32_t least = any_least(random), first = random.below(1000) * 512;
    std::vector<uint32_t> sums = any_sums(random, kSuperblockDocuments);
    for (uint32_t& sum : sums)
      if (random.one_in(random.any({2u, 100u}))) sum = least + random.below(3) - 1;
    const auto found = [&](const Loops& set) {
      return found_by([&](uint32_t* documents, uint32_t* scores) {
        return set.reach(sums.data(), least, first, documents, scores);
      });
    };
    check.expect_equal(found(loops), found(kScalarLoops), "documents or sums");
  }
}

}  // namespace

std::string check_index() {
  constexpr struct {
    const char* name;
    void (*check)(const Loops& loops, Check& check);
  } kChecks[] = {{"bound", check_bound},
                 {"at_least", check_at_least},
                 {"block_bounds", check_block_bounds},
                 {"add", check_add},
                 {"add_slices", check_add_slices},
                 {"ranks", check_ranks},
                 {"add_lists", check_add_lists},
                 {"add_bitmap", check_add_bitmap},
                 {"reach", check_reach}};
  return check_sets("index", isas(), kChecks);
}

}  // namespace lsr
