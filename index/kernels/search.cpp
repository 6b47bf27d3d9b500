#include "search.h"

#include <algorithm>

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
    s_.bounds.assign(superblocks_ * kSuperblock + kSlack, 0);
    s_.superblock_maxima.assign((superblocks_ + kSuperblock - 1) / kSuperblock * kSuperblock, 0);
    add_sparse();
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
  // More terms than this could overflow the 16 bits of a bound.
  static constexpr size_t kMostTerms = 4096;
  // A scan is faster where k is more than one in so many documents.
  static constexpr size_t kScanShare = 64;
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
    // dense term fit 8 bits and the sum of all 16.
    unit_ = static_cast<uint32_t>(
        std::max<uint64_t>({(largest_product + 249) / 250, (largest_score_ + 59999) / 60000, 1}));
    // One partition at a time, so that its bounds stay in the cache.
    for (size_t p = 0; p < index_.partitions.size(); ++p) {
      const Partition& partition = index_.partitions[p];
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
            {begin, end, static_cast<uint32_t>(p), static_cast<uint32_t>(scaled.weights[i])});
      }
    }
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
    // The hits of a large k lie in so many blocks that finding those costs more than it saves.
    return wanted_.method == Method::kAuto && wanted_.k > index_.documents / kScanShare;
  }

  // `weight * scaled >> 16`, rounded up, is at least weight * query / unit_.
  uint32_t scaled(uint32_t query) const {
    return static_cast<uint32_t>(((uint64_t{query} << 16) + unit_ - 1) / unit_);
  }

  // Sparse terms are cheap enough to take part posting by posting: their products are added to the
  // bounds, and sorted by superblock for the scores.
  void add_sparse() {
    size_t postings = 0;
    for (const Scratch::SparseRun& run : s_.sparse) postings += run.end - run.begin;
    s_.slots.resize(postings);
    s_.products.resize(postings);
    s_.first_products.assign(superblocks_ + kSlack / kSuperblock + 1, 0);
    each_sparse_run([&](const Scratch::SparseRun& run, auto* weights, uint32_t* slots) {
      bound_sparse(run, weights, slots);
    });
    // Turn counts into start offsets.
    uint32_t begin = 0;
    for (uint32_t& first : s_.first_products) {
      const uint32_t count = first;
      first = begin;
      begin += count;
    }
    each_sparse_run([&](const Scratch::SparseRun& run, auto* weights, const uint32_t* slots) {
      sort_sparse(run, weights, slots);
    });
  }

  template <class Visit>
  void each_sparse_run(const Visit& visit) {
    uint32_t* slots = s_.slots.data();
    for (const Scratch::SparseRun& run : s_.sparse) {
      const Weights& weights = index_.partitions[run.partition].weights;
      if (weights.wide)
        visit(run, static_cast<const uint16_t*>(weights.data) + run.begin, slots);
      else
        visit(run, static_cast<const uint8_t*>(weights.data) + run.begin, slots);
      slots += run.end - run.begin;
    }
  }

  // Adds a run to the bounds, counts its postings by superblock, and notes the number of each in
  // its superblock: if `sort_sparse` counted again, each store would wait for the one before.
  template <class Weight>
  void bound_sparse(const Scratch::SparseRun& run, const Weight* weights, uint32_t* slots) {
    const Partition& partition = index_.partitions[run.partition];
    const uint16_t* documents = partition.documents.data + run.begin;
    uint16_t* bounds = s_.bounds.data() + partition.first_superblock * kSuperblock;
    uint32_t* counts = s_.first_products.data() + partition.first_superblock;
    const uint32_t scale = scaled(run.weight);
    uint32_t last = UINT32_MAX, maximum = 0;
    for (size_t i = 0; i < run.end - run.begin; ++i) {
      const uint32_t block = documents[i] / kBlock;
      // A block's bound takes the largest of the term's weights in it, as the maxima do.
      const uint32_t before = block == last ? maximum : 0;
      maximum = std::max(before, (weights[i] * scale + 65535) >> 16);
      bounds[block] = static_cast<uint16_t>(bounds[block] + maximum - before);
      last = block;
      slots[i] = counts[block / kSuperblock]++;
    }
  }

  template <class Weight>
  void sort_sparse(const Scratch::SparseRun& run, const Weight* weights, const uint32_t* slots) {
    const Partition& partition = index_.partitions[run.partition];
    const uint16_t* documents = partition.documents.data + run.begin;
    const uint32_t* firsts = s_.first_products.data() + partition.first_superblock;
    SparseProduct* products = s_.products.data();
    for (size_t i = 0; i < run.end - run.begin; ++i) {
      const uint32_t superblock = documents[i] / kSuperblockDocuments;
      const uint32_t document = documents[i] % kSuperblockDocuments;
      products[firsts[superblock] + slots[i]] = {document, run.weight * weights[i]};
    }
  }

  template <class Weight>
  static void fill_table(const Weight* codebook, uint32_t scale, uint8_t* table) {
    for (size_t code = 0; code < kCodes; ++code) {
      const uint32_t bound = (codebook[code] * scale + 65535) >> 16;
      table[code] = static_cast<uint8_t>(bound < 255 ? bound : 255);
    }
  }

  void bound_blocks() {
    const size_t rows = s_.rows.size();
    s_.tables.resize((rows + 1) * kCodes);
    for (size_t p = 0; p < index_.partitions.size(); ++p) {
      const Partition& partition = index_.partitions[p];
      for (size_t row = 0; row < rows; ++row) {
        const size_t i = s_.rows[row];
        const uint32_t term_row = query_.dense_row(i, p);
        if (term_row == kAbsent) continue;  // no code of it is ever looked up
        const uint32_t scale = scaled(static_cast<uint32_t>(query_.scaled.weights[i]));
        uint8_t* table = s_.tables.data() + row * kCodes;
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
    for (size_t i = 0; i < superblocks.size(); ++i) {
      if (i + 1 < superblocks.size()) fetch_superblock(superblocks[i + 1]);
      const uint64_t wanted = survivors(superblocks[i], least_bound());
      s_.superblock_maxima[superblocks[i]] = 0;  // visited
      if (wanted != 0) score_superblock(superblocks[i], wanted);
    }
  }

  // Prefetches the chunks of the next superblock: those of a large index are in no cache.
  void fetch_superblock(size_t superblock) const {
    const uint64_t wanted = survivors(superblock, least_bound());
    if (wanted == 0) return;
    const uint32_t p = index_.partition_of_superblock[superblock];
    const size_t rows = s_.rows.size(),
                 chunk = 2 * (superblock - index_.partitions[p].first_superblock);
    for (size_t half = 0; half < 2; ++half) {
      if (static_cast<uint32_t>(wanted >> (kChunk * half)) == 0) continue;
      for (size_t row = 0; row < rows; ++row) {
        const uint8_t* at = chunk_at(s_.runs[p * rows + row], chunk + half, planes_);
        __builtin_prefetch(at);
        __builtin_prefetch(at + 64);
      }
    }
  }

  void scan() {
    for (size_t superblock = 0; superblock < superblocks_; ++superblock)
      score_superblock(superblock, ~uint64_t{0});
  }

  // Score blocks of a superblock.
  void score_superblock(size_t superblock, uint64_t wanted) {
    const uint32_t p = index_.partition_of_superblock[superblock];
    const Partition& partition = index_.partitions[p];
    const size_t rows = s_.rows.size();
    const Superblock task = {s_.runs.data() + p * rows,
                             s_.factors.data(),
                             s_.quads.data(),
                             rows,
                             superblock - partition.first_superblock,
                             planes_,
                             wanted,
                             s_.products.data() + s_.first_products[superblock],
                             s_.first_products[superblock + 1] - s_.first_products[superblock],
                             s_.top.threshold()};
    const size_t count = loops_.score(task, s_.candidates, s_.candidate_scores);
    for (size_t i = 0; i < count; ++i) {
      if (s_.candidates[i] >= partition.count) continue;  // of a damaged index
      const uint32_t document = partition.first + s_.candidates[i];
      if (index_.alive[document >> 3] >> (document & 7) & 1)
        s_.top.insert(document, s_.candidate_scores[i]);
    }
    s_.top.raise_threshold();
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
