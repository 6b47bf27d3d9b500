#include "postings.h"

#include <algorithm>

#include "lists.h"
#include "lookup.h"

namespace lsr::index {
namespace {

// The columns of a term without postings in a partition.
const uint8_t kNoMaxima[kMostSuperblocks * kSuperblockCodes] = {};
const uint16_t kNoChunks[kMostSuperblocks] = {};

constexpr uint8_t kBitmap = 0xF0;  // the first byte of one, instead of an order

// Binary searches for several terms, interleaved so that their cache misses overlap.
void find_all(const Column<uint32_t>& column, const uint32_t* terms, size_t size, uint32_t* rows,
              size_t stride) {
  for (size_t i = 0; i < size; ++i) rows[i * stride] = 0;
  for (size_t left = column.size; left > 1;) {
    const size_t half = left / 2;
    for (size_t i = 0; i < size; ++i) {
      // No branch, which would be mispredicted every other time.
      uint32_t& row = rows[i * stride];
      const uint32_t step = 0u - static_cast<uint32_t>(column.data[row + half] <= terms[i]);
      row += static_cast<uint32_t>(half) & step;
    }
    left -= half;
  }
  for (size_t i = 0; i < size; ++i) {
    uint32_t& row = rows[i * stride];
    if (column.size == 0 || column.data[row] != terms[i]) row = kAbsent;
  }
}

}  // namespace

const uint8_t kNoPostings[kPayloadPadding] = {};
const Run kNoRun = {kNoMaxima, kNoChunks, kNoPostings, 0};

const Partition& View::partition_of(uint32_t document) const {
  const auto after = std::upper_bound(partitions.begin(), partitions.end(), document,
                                      [](uint32_t d, const Partition& p) { return d < p.first; });
  return *(after - 1);  // the first partition starts at document 0
}

size_t find(const Column<uint32_t>& terms, uint32_t term) {
  const uint32_t* end = terms.data + terms.size;
  const uint32_t* match = std::lower_bound(terms.data, end, term);
  return match != end && *match == term ? static_cast<size_t>(match - terms.data) : kNotFound;
}

std::pair<size_t, size_t> sparse_run(const Partition& partition, size_t row) {
  const size_t begin = partition.sparse_starts[row];
  const size_t end = row + 1 < partition.sparse_terms.size ? partition.sparse_starts[row + 1]
                                                           : partition.documents.size;
  if (begin > end || end > partition.documents.size || end - begin > partition.count)
    throw Damaged("a run lies outside its postings");
  return {begin, end};
}

Run dense_run(const Partition& partition, uint32_t row) {
  if (row == kAbsent) return kNoRun;
  const size_t payload = partition.payload_starts[row];
  if (payload + kPayloadPadding > partition.payload.size)
    throw Damaged("the blocks of a term lie outside its partition");
  const size_t last = partition.payload.size - kPayloadPadding - payload;
  const size_t superblock = size_t{row} * partition.superblocks;
  return {partition.maxima + superblock * kSuperblockCodes, partition.chunks + superblock,
          partition.payload.data + payload, static_cast<uint32_t>(std::min<size_t>(last, kAbsent))};
}

List list_of(const Partition& partition, size_t row) {
  const size_t last = partition.lists.size - kListsPadding, begin = partition.list_starts[row];
  const size_t end = row + 1 < partition.sparse_terms.size ? partition.list_starts[row + 1] : last;
  if (begin >= end || end > last) throw Damaged("a list lies outside its partition");
  return {partition.lists.data + begin, partition.lists.data + end};
}

bool is_bitmap(const Partition& partition, const List& list) {
  if (*list.begin != kBitmap) return false;
  if (static_cast<size_t>(list.end - list.begin) != 1 + (size_t{partition.count} + 7) / 8)
    throw Damaged("a bitmap is not as long as its partition");
  return true;
}

void locate(const View& index, const uint32_t* terms, size_t size, Located& located) {
  const size_t partitions = index.partitions.size();
  located.dense.resize(size * partitions);
  located.sparse.resize(size * partitions);
  located.maxima.assign(size, 0);
  for (size_t p = 0; p < partitions; ++p) {
    const Partition& partition = index.partitions[p];
    find_all(partition.dense_terms, terms, size, located.dense.data() + p, partitions);
    // A term is dense or sparse in a partition, not both.
    std::vector<uint32_t>& others = located.scratch;
    others.clear();
    for (size_t i = 0; i < size; ++i)
      if (located.dense[i * partitions + p] == kAbsent) others.push_back(terms[i]);
    located.rows.resize(others.size());
    find_all(partition.sparse_terms, others.data(), others.size(), located.rows.data(), 1);
    for (size_t i = 0, other = 0; i < size; ++i)
      located.sparse[i * partitions + p] =
          located.dense[i * partitions + p] == kAbsent ? located.rows[other++] : kAbsent;
    for (size_t i = 0; i < size; ++i) {
      const uint32_t dense = located.dense[i * partitions + p];
      const uint32_t sparse = located.sparse[i * partitions + p];
      if (dense != kAbsent)
        located.maxima[i] =
            std::max(located.maxima[i], partition.codebooks[dense * kCodes + kCodes - 1]);
      else if (sparse != kAbsent)
        located.maxima[i] = std::max(located.maxima[i], partition.sparse_maxima[sparse]);
    }
  }
}

size_t first_float(const Partition& partition, size_t row, uint32_t local) {
  return partition.documents.size + partition.first_postings[row] +
         partition.ranks[row * partition.superblocks + local / kSuperblockDocuments];
}

Posting sparse_posting(const Partition& partition, std::pair<size_t, size_t> run, uint32_t local) {
  const uint16_t* begin = partition.documents.data + run.first;
  const uint16_t* end = partition.documents.data + run.second;
  const uint16_t* posting = std::lower_bound(begin, end, local);
  if (posting == end || *posting != local) return {0, 0};
  const auto index = static_cast<size_t>(posting - partition.documents.data);
  return {partition.weights[index], index};
}

Posting find_posting(const Partition& partition, uint32_t document, uint32_t term) {
  const uint32_t local = document - partition.first;
  const size_t row = find(partition.dense_terms, term);
  if (row != kNotFound) {
    const Run run = dense_run(partition, static_cast<uint32_t>(row));
    const ChunkPosting posting = find_in_chunk(run, local, partition.planes());
    if (posting.weight == nullptr) return {0, 0};
    uint32_t weight = posting.weight[0];
    if (partition.weights.wide) weight |= uint32_t{posting.weight[posting.plane]} << 8;
    if (partition.floats.data == nullptr) return {weight, kNotFound};
    return {weight, first_float(partition, row, local) + posting.rank};
  }
  const size_t sparse = find(partition.sparse_terms, term);
  if (sparse == kNotFound) return {0, 0};
  if (partition.lists.data != nullptr) {
    const List list = list_of(partition, sparse);
    if (is_bitmap(partition, list)) return {list.begin[1 + local / 8] >> local % 8 & 1u, kNotFound};
    Cursor cursor(list);
    while (cursor.next(partition.count))
      if (cursor.document >= local) return {cursor.document == local, kNotFound};
    if (!cursor.ends()) throw Damaged("a list of documents is damaged");
    return {0, 0};
  }
  return sparse_posting(partition, sparse_run(partition, sparse), local);
}

}  // namespace lsr::index
