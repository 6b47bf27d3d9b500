#include "search.h"

#include <algorithm>
#include <cstring>

namespace lsr::index {
namespace {

// One query on one index: finds the runs, then visits blocks and inserts their documents.
class Searching {
 public:
  Searching(const View& index, const Query& query, const Wanted& wanted, const Loops& loops,
            Scratch& scratch)
      : index_(index),
        query_(query),
        wanted_(wanted),
        loops_(loops),
        s_(scratch),
        planes_(index.wide ? 2 : 1),
        superblocks_(index.partition_of_superblock.size()) {}

  void run() {
    find_runs();
    s_.top.start(wanted_.k, wanted_.margin, largest_score_);
    if (s_.rows.empty() && s_.sparse.empty()) return;
    s_.sums.resize(kSumRoom);
    if (scan_is_best()) {
      scan();
    } else {
      bound_blocks();
      visit_blocks();
    }
    s_.top.finish(index_.positions);
  }

 private:
  // The most blocks beyond its partition that a damaged docid can address.
  static constexpr size_t kSlack = 65536 / kBlock;
  static constexpr size_t kPiece = 256;  // sparse postings whose bounds are computed at once
  // Starts of a sparse run: one a superblock, and the end.
  static constexpr size_t kStarts = kMostSuperblocks + 1;
  static constexpr size_t kSumRoom = kMostSuperblocks * kSuperblockDocuments;
  // More terms than this could overflow the 16 bits of a bound.
  static constexpr size_t kMostTerms = 4096;
  // Superblocks visited before all others, those with the highest bounds: in the first round, and,
  // with a sixteenth of k more, in the second.
  static constexpr size_t kFirstSuperblocks = 2, kBestSuperblocks = 12;

  void find_runs() {
    s_.rows.clear();
    s_.sparse.clear();
    const Scaled& scaled = query_.scaled;
    uint64_t largest_product = 0;
    for (size_t i = 0; i < scaled.terms.size(); ++i) {
      const auto weight = static_cast<uint32_t>(scaled.weights[i]);
      const uint64_t largest = uint64_t{scaled.maxima[i]} * weight;
      largest_score_ += largest;
      largest_product = std::max(largest_product, largest);
      bool dense = false;
      for (size_t p = 0; p < index_.partitions.size(); ++p)
        dense |= query_.dense_row(i, p) != kAbsent;
      if (dense) s_.rows.push_back(static_cast<uint32_t>(i));
    }
    // Bounds are counted in units of 1 / 250 of the largest product, rounded up, so that those of a
    // dense term fit 8 bits, and the sum of all 16 even where each counts four times
    // (`add_bounds`).
    unit_ = static_cast<uint32_t>(
        std::max<uint64_t>({(largest_product + 249) / 250, (largest_score_ + 11999) / 12000, 1}));
    s_.first_sparse.clear();
    for (size_t p = 0; p < index_.partitions.size(); ++p) {
      const Partition& partition = index_.partitions[p];
      s_.first_sparse.push_back(s_.sparse.size());
      for (size_t i = 0; i < scaled.terms.size(); ++i) {
        const uint32_t row = query_.sparse_row(i, p);
        if (row == kAbsent) continue;
        const auto [begin, end] = sparse_run(partition, row);
        const auto* weights = static_cast<const uint8_t*>(partition.weights.data);
        for (size_t at = begin; at < std::min(end, begin + 512); at += 32) {
          __builtin_prefetch(partition.documents.data + at, 0, 2);
          __builtin_prefetch(weights + at * planes_, 0, 2);
        }
        s_.sparse.push_back(
            {&partition, begin, end - begin, static_cast<uint32_t>(scaled.weights[i])});
      }
    }
    s_.first_sparse.push_back(s_.sparse.size());
    fill_rows();
  }

  void fill_rows() {
    const size_t rows = s_.rows.size(), partitions = index_.partitions.size(),
                 quads = (rows + 3) / 4;
    s_.factors.resize(rows);
    s_.runs.resize(rows * partitions);
    for (size_t row = 0; row < rows; ++row) {
      const size_t i = s_.rows[row];
      s_.factors[row] = static_cast<int16_t>(query_.scaled.weights[i]);
      for (size_t p = 0; p < partitions; ++p)
        s_.runs[p * rows + row] = dense_run(index_.partitions[p], query_.dense_row(i, p));
    }
    s_.quads.assign(quads, {0, 0});
    for (size_t row = 0; row < rows; ++row) {
      const auto factor = static_cast<uint32_t>(s_.factors[row]);
      s_.quads[row / 4].low |= (factor & 127) << (8 * (row % 4));
      s_.quads[row / 4].high |= (factor >> 7) << (8 * (row % 4));
    }
  }

  bool scan_is_best() const {
    if (wanted_.method == Method::kScan || query_.scaled.terms.size() > kMostTerms) return true;
    if (wanted_.method != Method::kAuto) return false;
    // The hits of a large k lie in so many blocks, and the bounds of many terms exclude so few,
    // that finding those blocks costs more than it saves.
    const double share = static_cast<double>(wanted_.k) / static_cast<double>(index_.documents);
    const auto terms = static_cast<double>(query_.scaled.terms.size());
    const double pairs = terms * terms;
    return share > loops_.costs.share || share * pairs * pairs > loops_.costs.fourth;
  }

  // `weight * scaled >> 16`, rounded up, is at least weight * query / unit_.
  uint32_t scaled(uint32_t query) const {
    return static_cast<uint32_t>(((uint64_t{query} << 16) + unit_ - 1) / unit_);
  }

  // Calls visit(run, its documents, its weights) with either type of weights.
  template <class Visit>
  static void read(const Scratch::SparseRun& run, const Visit& visit) {
    const Partition& partition = *run.partition;
    const uint16_t* documents = partition.documents.data + run.begin;
    if (partition.weights.wide)
      visit(documents, static_cast<const uint16_t*>(partition.weights.data) + run.begin);
    else
      visit(documents, static_cast<const uint8_t*>(partition.weights.data) + run.begin);
  }

  // Sparse terms are cheap enough to take part posting by posting.
  void bound_sparse() {
    s_.sparse_starts.assign(s_.sparse.size() * kStarts, 0);
    for (size_t i = 0; i < s_.sparse.size(); ++i) {
      const Scratch::SparseRun& run = s_.sparse[i];
      uint16_t* bounds = s_.bounds.data() + size_t{run.partition->first_superblock} * kSuperblock;
      uint16_t* starts = s_.sparse_starts.data() + i * kStarts;
      const uint32_t scale = scaled(run.weight);
      read(run, [&](const uint16_t* documents, const auto* weights) {
        add_bounds(documents, weights, run.size, scale, bounds, starts);
      });
      uint16_t most = 0;
      for (size_t superblock = 1; superblock <= run.partition->superblocks; ++superblock)
        starts[superblock] = most = std::max(starts[superblock], most);
    }
  }

  // Adds a run to the bounds, and notes the end of each superblock's postings behind its start.
  template <class Weight>
  void add_bounds(const uint16_t* documents, const Weight* weights, size_t size, uint32_t scale,
                  uint16_t* bounds, uint16_t* starts) const {
    uint16_t blocks[kPiece], values[kPiece];
    for (size_t first = 0; first < size; first += kPiece) {
      const size_t count = std::min(kPiece, size - first);
      block_bounds(documents + first, weights + first, count, first != 0, scale, blocks, values);
      for (size_t i = 0; i < count; ++i) {
        bounds[blocks[i]] = static_cast<uint16_t>(bounds[blocks[i]] + values[i]);
        starts[blocks[i] / kSuperblock + 1] = static_cast<uint16_t>(first + i + 1);
      }
    }
  }

  void block_bounds(const uint16_t* documents, const uint8_t* weights, size_t count, bool follows,
                    uint32_t scale, uint16_t* blocks, uint16_t* values) const {
    loops_.block_bounds(documents, weights, count, follows, scale, blocks, values);
  }
  static void block_bounds(const uint16_t* documents, const uint16_t* weights, size_t count,
                           bool follows, uint32_t scale, uint16_t* blocks, uint16_t* values) {
    block_bounds_of(documents, weights, count, follows, scale, blocks, values);
  }

  template <class Weight>
  static void fill_table(const Weight* codebook, uint32_t scale, uint8_t* table) {
    for (size_t code = 0; code < kCodes; ++code) {
      const uint32_t bound = (codebook[code] * scale + 65535) >> 16;
      table[code] = static_cast<uint8_t>(bound < 255 ? bound : 255);
    }
  }

  void bound_blocks() {
    // Bounds behind the last superblock are never read.
    s_.bounds.resize(superblocks_ * kSuperblock + kSlack);
    std::memset(s_.bounds.data(), 0, superblocks_ * kSuperblock * sizeof(uint16_t));
    s_.superblock_maxima.assign((superblocks_ + kSuperblock - 1) / kSuperblock * kSuperblock, 0);
    bound_sparse();
    const size_t rows = s_.rows.size();
    s_.tables.resize((rows + 1) * kCodes);
    for (size_t p = 0; p < index_.partitions.size(); ++p) {
      const Partition& partition = index_.partitions[p];
      for (size_t row = 0; row < rows; ++row) {
        const size_t i = s_.rows[row];
        const uint32_t term_row = query_.dense_row(i, p);
        const uint32_t scale = scaled(static_cast<uint32_t>(query_.scaled.weights[i]));
        uint8_t* table = s_.tables.data() + row * kCodes;
        if (term_row == kAbsent) {
          std::fill(table, table + kCodes, uint8_t{0});
          continue;
        }
        const size_t book = size_t{term_row} * kCodes;
        if (partition.codebooks.wide)
          fill_table(static_cast<const uint16_t*>(partition.codebooks.data) + book, scale, table);
        else
          fill_table(static_cast<const uint8_t*>(partition.codebooks.data) + book, scale, table);
      }
      const size_t first = partition.first_superblock;
      loops_.bound(s_.runs.data() + p * rows, s_.tables.data(), rows, partition.superblocks,
                   s_.bounds.data() + first * kSuperblock, s_.superblock_maxima.data() + first);
    }
  }

  // The least bound of a block that may hold a document reaching the threshold.
  uint32_t least_bound() const { return (s_.top.threshold() + unit_ - 1) / unit_; }

  // The blocks of a superblock whose bounds reach `cut`.
  uint64_t survivors(size_t superblock, uint32_t cut) const {
    return loops_.at_least(s_.bounds.data() + superblock * kSuperblock, static_cast<uint16_t>(cut));
  }

  // Visit the superblocks with the best blocks first: they raise the threshold for all others.
  void visit_blocks() {
    for (const size_t rank : {kFirstSuperblocks, kBestSuperblocks + wanted_.k / 16})
      if (rank < superblocks_) visit(maximum_at(rank));
    visit(0);
  }

  // The largest value that more than `rank` superblocks' best bounds reach.
  uint32_t maximum_at(size_t rank) const {
    uint32_t reached = 0;
    for (uint32_t bit = 32768; bit != 0; bit /= 2) {
      size_t count = 0;
      for (size_t at = 0; at < superblocks_; at += kSuperblock)
        count += static_cast<size_t>(__builtin_popcountll(reaching(at, reached + bit)));
      if (count > rank) reached += bit;
    }
    return reached;
  }

  // A bit for each of 64 superblocks: whether its largest bound reaches `cut`.
  uint64_t reaching(size_t at, uint32_t cut) const {
    return loops_.at_least(s_.superblock_maxima.data() + at, static_cast<uint16_t>(cut));
  }

  // Score, once, the blocks that can have hits in the superblocks whose largest bound reaches
  // `cut`.
  void visit(uint32_t cut) {
    std::vector<uint32_t>& superblocks = s_.superblocks;
    superblocks.clear();
    cut = std::max(cut, least_bound());
    for (size_t at = 0; at < superblocks_; at += kSuperblock)
      for (uint64_t left = reaching(at, cut); left != 0; left &= left - 1)
        superblocks.push_back(static_cast<uint32_t>(at) +
                              static_cast<uint32_t>(__builtin_ctzll(left)));
    for (size_t begin = 0, end = 0; begin < superblocks.size(); begin = end) {
      const uint32_t p = index_.partition_of_superblock[superblocks[begin]];
      while (end < superblocks.size() && index_.partition_of_superblock[superblocks[end]] == p)
        ++end;
      visit(p, begin, end);
    }
  }

  // The same for those of s_.superblocks that lie in partition p.
  void visit(size_t p, size_t begin, size_t end) {
    const Partition& partition = index_.partitions[p];
    uint64_t wanted[kMostSuperblocks] = {};
    const bool together = loops_.together > 1 && 2 * (end - begin) > partition.superblocks;
    for (size_t i = begin; i < end; ++i) {
      const uint32_t superblock = s_.superblocks[i];
      if (!together && i + 2 < end) fetch_offsets(p, s_.superblocks[i + 2]);
      if (!together && i + 1 < end) fetch_chunks(p, s_.superblocks[i + 1]);
      const size_t local = superblock - partition.first_superblock;
      wanted[local] = survivors(superblock, least_bound());
      s_.superblock_maxima[superblock] = 0;  // visited
      if (!together && wanted[local] != 0) score(p, local, 1, wanted + local);
    }
    if (together) score(p, 0, partition.superblocks, wanted);
  }

  // Prefetches the codes and the chunk offsets of a superblock: those of a large index are in no
  // cache.
  void fetch_offsets(size_t p, size_t superblock) const {
    const size_t rows = s_.rows.size(), local = superblock - index_.partitions[p].first_superblock;
    for (const Run* run = s_.runs.data() + p * rows; run < s_.runs.data() + (p + 1) * rows; ++run) {
      __builtin_prefetch(run->chunks + local);
      __builtin_prefetch(run->codes + local * kSuperblockCodes);
    }
  }

  // Prefetches the chunks of a superblock, whose offsets must be in a cache already: waiting for
  // them would cost more than the chunks' arriving early saves.
  void fetch_chunks(size_t p, size_t superblock) const {
    if (survivors(superblock, least_bound()) == 0) return;
    const size_t rows = s_.rows.size(), local = superblock - index_.partitions[p].first_superblock;
    for (size_t row = 0; row < rows; ++row) {
      const Run& run = s_.runs[p * rows + row];
      const uint8_t* at = chunk_at(run, local, planes_);
      __builtin_prefetch(at);
      // Most chunks are short: asking for a second line that they do not reach takes as long as
      // the first.
      const size_t next = std::min<size_t>(local + 1, index_.partitions[p].superblocks - 1);
      const size_t size = static_cast<size_t>(run.chunks[next] - run.chunks[local]) * planes_;
      for (size_t line = 64; line <= 192; line += 64) __builtin_prefetch(at + std::min(size, line));
    }
  }

  void scan() {
    const uint64_t all = ~uint64_t{0};
    for (size_t p = 0; p < index_.partitions.size(); ++p) {
      uint64_t wanted[kMostSuperblocks];
      std::fill(wanted, wanted + kMostSuperblocks, all);
      score(p, 0, index_.partitions[p].superblocks, wanted);
    }
  }

  // Scores `count` superblocks of partition p, one or all.
  void score(size_t p, size_t first, size_t count, const uint64_t* wanted) {
    const Partition& partition = index_.partitions[p];
    const size_t rows = s_.rows.size(), base = first * kSuperblockDocuments;
    uint32_t* sums = s_.sums.data();
    std::fill(sums, sums + count * kSuperblockDocuments, 0u);
    loops_.add({s_.runs.data() + p * rows, s_.factors.data(), s_.quads.data(), rows, planes_},
               first, count, wanted, sums);
    add_sparse(p, first, count, sums);
    for (size_t i = 0; i < count; ++i)
      if (wanted[i] != 0)
        collect(partition, base + i * kSuperblockDocuments, sums + i * kSuperblockDocuments);
  }

  void add_sparse(size_t p, size_t first, size_t count, uint32_t* sums) {
    const Partition& partition = index_.partitions[p];
    if (count == partition.superblocks) {
      for (size_t i = s_.first_sparse[p]; i < s_.first_sparse[p + 1]; ++i) {
        const Scratch::SparseRun& run = s_.sparse[i];
        read(run, [&](const uint16_t* documents, const auto* weights) {
          for (size_t posting = 0; posting < run.size; ++posting)
            sums[documents[posting]] += run.weight * weights[posting];
        });
      }
      return;
    }
    s_.slices.resize(s_.first_sparse[p + 1] - s_.first_sparse[p]);
    size_t slices = 0;
    for (size_t i = s_.first_sparse[p]; i < s_.first_sparse[p + 1]; ++i) {
      const Scratch::SparseRun& run = s_.sparse[i];
      const uint16_t* starts = s_.sparse_starts.data() + i * kStarts + first;
      const size_t begin = run.begin + starts[0];
      const auto size = static_cast<uint32_t>(starts[1] - starts[0]);
      const auto* bytes = static_cast<const uint8_t*>(partition.weights.data);
      const Slice slice = {partition.documents.data + begin, bytes + begin * planes_, size,
                           run.weight};
      if (__builtin_expect(begin + size + kSlicePadding > partition.documents.size, 0)) {
        planes_ == 2 ? add_slice<uint16_t>(slice, sums) : add_slice<uint8_t>(slice, sums);
        continue;
      }
      s_.slices[slices] = slice;  // always: a branch on its size would be mispredicted
      slices += size != 0;
    }
    loops_.add_slices(s_.slices.data(), slices, planes_, sums);
  }

  // Inserts the documents of a superblock that reach the threshold.  Those of blocks that are not
  // wanted do not: their sums are at most their scores, which their bounds keep below it.
  void collect(const Partition& partition, size_t first, const uint32_t* sums) {
    const size_t count = loops_.reach(sums, s_.top.threshold(), static_cast<uint32_t>(first),
                                      s_.candidates, s_.candidate_scores);
    size_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
      if (s_.candidates[i] >= partition.count) continue;  // of a damaged index
      const uint32_t document = partition.first + s_.candidates[i];
      s_.candidates[kept] = document;
      s_.candidate_scores[kept] = s_.candidate_scores[i];
      kept += index_.alive[document >> 3] >> (document & 7) & 1;
    }
    s_.top.insert(s_.candidates, s_.candidate_scores, kept);
  }

  const View& index_;
  const Query& query_;
  const Wanted& wanted_;
  const Loops& loops_;
  Scratch& s_;
  const unsigned planes_;
  const size_t superblocks_;
  uint64_t largest_score_ = 0;
  uint32_t unit_ = 1;
};

}  // namespace

void search(const View& index, const Query& query, const Wanted& wanted, const Loops& loops,
            Scratch& scratch) {
  if (index.lists) return count(index, query, wanted, loops, scratch);
  Searching(index, query, wanted, loops, scratch).run();
}

}  // namespace lsr::index
