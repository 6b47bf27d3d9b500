// NEON loops.  NEON is a part of every 64-bit ARM, so this needs no flags.
#include <arm_neon.h>

#include "lists.h"
#include "lookup.h"

namespace lsr::index {
namespace {

// By mask, where each of eight bytes comes from when as many as the mask has ones are spread to its
// ones; the lookup gives zero for the others.
struct SpreadTable {
  uint8_t from[256][8];
  constexpr SpreadTable() : from() {
    for (unsigned mask = 0; mask < 256; ++mask)
      for (unsigned bit = 0, next = 0; bit < 8; ++bit)
        from[mask][bit] = static_cast<uint8_t>(mask >> bit & 1 ? next++ : 255);
  }
};
alignas(64) constexpr SpreadTable kSpread;

inline uint8x8_t spread(const uint8_t* bytes, unsigned mask) {
  return vtbl1_u8(vld1_u8(bytes), vld1_u8(kSpread.from[mask]));
}

// Ones in the first `count` masks, any of which a wider load may follow.
inline size_t ones(const uint8_t* masks, size_t count) {
  uint64_t word;
  size_t sum = 0;
  for (; count >= 8; count -= 8, masks += 8) {
    __builtin_memcpy(&word, masks, 8);
    sum += count_ones(word);
  }
  __builtin_memcpy(&word, masks, 8);
  return sum + count_ones(word & ((uint64_t{1} << (8 * count)) - 1));
}

void bound(const Run* runs, const uint8_t* tables, size_t rows, size_t superblocks,
           uint16_t* bounds, uint16_t* superblock_maxima) {
  for (size_t row = 0; row < rows; ++row) {
    const uint8x16_t table = vld1q_u8(tables + row * kCodes);
    const uint8_t* codes = runs[row].maxima;
    for (size_t superblock = 0; superblock < superblocks; ++superblock) {
      uint64_t bitmap = runs[row].bitmaps[superblock];
      if (bitmap == 0) continue;
      // All codes the superblock can have are looked up, and the values then spread by the bitmap.
      uint8_t values[kSuperblock + 8];
      for (size_t i = 0; i < 2; ++i) {
        const uint8x16_t pairs = vld1q_u8(codes + 16 * i);
        const uint8x16_t low = vqtbl1q_u8(table, vandq_u8(pairs, vdupq_n_u8(15)));
        const uint8x16_t high = vqtbl1q_u8(table, vshrq_n_u8(pairs, 4));
        vst1q_u8(values + 32 * i, vzip1q_u8(low, high));
        vst1q_u8(values + 32 * i + 16, vzip2q_u8(low, high));
      }
      codes += (count_ones(bitmap) + 1) / 2;
      const uint8_t* next = values;
      for (uint16_t* at = bounds + superblock * kSuperblock; bitmap != 0; bitmap >>= 8, at += 8) {
        const unsigned mask = bitmap & 255;
        vst1q_u16(at, vaddw_u8(vld1q_u16(at), spread(next, mask)));
        next += count_ones(mask);
      }
    }
  }
  for (size_t superblock = 0; superblock < superblocks; ++superblock) {
    uint16x8_t most = vdupq_n_u16(0);
    for (size_t b = 0; b < kSuperblock; b += 8)
      most = vmaxq_u16(most, vld1q_u16(bounds + superblock * kSuperblock + b));
    superblock_maxima[superblock] = vmaxvq_u16(most);
  }
}

uint64_t at_least(const uint16_t* values, uint16_t least) {
  const uint16x8_t limit = vdupq_n_u16(least);
  const uint8x16_t bits = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
  uint8x16_t parts[4];
  for (size_t i = 0; i < 4; ++i) {
    const uint8x8_t low = vmovn_u16(vcgeq_u16(vld1q_u16(values + 16 * i), limit));
    const uint8x8_t high = vmovn_u16(vcgeq_u16(vld1q_u16(values + 16 * i + 8), limit));
    parts[i] = vandq_u8(vcombine_u8(low, high), bits);
  }
  // Three steps of adding neighbours bring the eight bits of a byte together.
  const uint8x16_t all = vpaddq_u8(vpaddq_u8(parts[0], parts[1]), vpaddq_u8(parts[2], parts[3]));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
}

// Adds a row's products to the sums of the wanted blocks of half a superblock.
template <unsigned planes>
void add_half(const Run& run, size_t chunk, uint32_t wanted, uint16_t factor, uint32_t* sums) {
  const uint32_t bitmap = chunk_bitmap(run, chunk);
  const uint8_t* masks = chunk_at(run, chunk, planes);
  const size_t blocks = count_ones(bitmap);
  const uint8_t* weights = masks + blocks;
  const size_t plane = planes == 2 ? ones(masks, blocks) : 0;
  const uint16x8_t factors = vdupq_n_u16(factor);
  size_t counted = 0;
  for (uint32_t left = bitmap & wanted; left != 0; left &= left - 1) {
    const auto block = static_cast<unsigned>(__builtin_ctz(left));
    const size_t before = count_ones(bitmap & ((uint32_t{1} << block) - 1));
    weights += ones(masks + counted, before - counted);
    counted = before;
    uint16x8_t values = vmovl_u8(spread(weights, masks[before]));
    if (planes == 2) {
      const uint8x8_t high = spread(weights + plane, masks[before]);
      values = vorrq_u16(values, vshll_n_u8(high, 8));
    }
    // Query weights have 14 bits, so the products of 16-bit numbers are exact.
    uint32_t* at = sums + block * kBlock;
    vst1q_u32(at, vmlal_u16(vld1q_u32(at), vget_low_u16(values), vget_low_u16(factors)));
    vst1q_u32(at + 4, vmlal_high_u16(vld1q_u32(at + 4), values, factors));
  }
}

// Writes those of eight documents that reach `least`, as numbers with a sign: a wrapped sum reaches
// nothing.  Returns how many.
inline size_t reach_eight(const uint32_t* sums, int32x4_t least, uint32_t first,
                          uint32_t* documents, uint32_t* scores) {
  const uint32x4_t low = vcgeq_s32(vreinterpretq_s32_u32(vld1q_u32(sums)), least);
  const uint32x4_t high = vcgeq_s32(vreinterpretq_s32_u32(vld1q_u32(sums + 4)), least);
  const uint8x8_t reached = vmovn_u16(vcombine_u16(vmovn_u32(low), vmovn_u32(high)));
  uint64_t left = vget_lane_u64(vreinterpret_u64_u8(reached), 0) & 0x0101010101010101u;
  size_t count = 0;
  for (; left != 0; left &= left - 1, ++count) {
    const auto d = static_cast<uint32_t>(__builtin_ctzll(left) / 8);
    documents[count] = first + d;
    scores[count] = sums[d];
  }
  return count;
}

size_t score(const Superblock& superblock, uint32_t* documents, uint32_t* scores) {
  uint32_t sums[kSuperblockDocuments] = {};
  for (size_t i = 0; i < superblock.product_count; ++i)
    sums[superblock.products[i].document] += superblock.products[i].product;
  for (size_t half = 0; half < 2; ++half) {
    const auto wanted = static_cast<uint32_t>(superblock.wanted >> (half * kChunk));
    if (wanted == 0) continue;
    const size_t chunk = 2 * superblock.index + half;
    uint32_t* at = sums + half * kChunk * kBlock;
    for (size_t row = 0; row < superblock.rows; ++row) {
      const auto factor = static_cast<uint16_t>(superblock.factors[row]);
      if (superblock.planes == 1)
        add_half<1>(superblock.runs[row], chunk, wanted, factor, at);
      else
        add_half<2>(superblock.runs[row], chunk, wanted, factor, at);
    }
  }
  const int32x4_t least = vdupq_n_s32(static_cast<int32_t>(superblock.least));
  const auto first = static_cast<uint32_t>(superblock.index * kSuperblockDocuments);
  size_t count = 0;
  for (uint64_t left = superblock.wanted; left != 0; left &= left - 1) {
    const auto d = static_cast<uint32_t>(__builtin_ctzll(left)) * static_cast<uint32_t>(kBlock);
    count += reach_eight(sums + d, least, first + d, documents + count, scores + count);
  }
  return count;
}

void add_bitmap(const List& list, uint32_t weight, uint32_t count, uint32_t* sums) {
  const uint32x4_t bits[2] = {{1, 2, 4, 8}, {16, 32, 64, 128}};
  const uint32x4_t weights = vdupq_n_u32(weight);
  for (uint32_t first = 0; first < count; first += 64) {
    uint64_t word = bits_at(list, first, count);
    for (uint32_t* at = sums + first; word != 0; word >>= 8, at += 8) {
      const uint32x4_t byte = vdupq_n_u32(static_cast<uint32_t>(word & 255));
      for (size_t i = 0; i < 2; ++i)
        vst1q_u32(at + 4 * i,
                  vaddq_u32(vld1q_u32(at + 4 * i), vandq_u32(vtstq_u32(byte, bits[i]), weights)));
    }
  }
}

size_t reach(const uint32_t* sums, uint32_t least, uint32_t first, uint32_t* documents,
             uint32_t* scores) {
  const int32x4_t limit = vdupq_n_s32(static_cast<int32_t>(least));
  size_t count = 0;
  for (uint32_t d = 0; d < kSuperblockDocuments; d += kBlock)
    count += reach_eight(sums + d, limit, first + d, documents + count, scores + count);
  return count;
}

}  // namespace

const Loops kNeonLoops = {bound, at_least, score, find_ranks, add_lists, add_bitmap, reach};

}  // namespace lsr::index
