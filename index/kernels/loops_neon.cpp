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

// Bit i tells whether byte i of 64 is not zero; then it is 255.
inline uint64_t bits_of(const uint8x16_t (&bytes)[4]) {
  const uint8x16_t bits = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
  // Three steps of adding neighbours bring the eight bits of a byte together.
  const uint8x16_t all = vpaddq_u8(vpaddq_u8(vandq_u8(bytes[0], bits), vandq_u8(bytes[1], bits)),
                                   vpaddq_u8(vandq_u8(bytes[2], bits), vandq_u8(bytes[3], bits)));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
}

void bound(const Run* runs, const uint8_t* tables, size_t rows, size_t superblocks,
           uint16_t* bounds, uint16_t* superblock_maxima) {
  for (size_t superblock = 0; superblock < superblocks; ++superblock, bounds += kSuperblock) {
    uint16x8_t sums[8];  // which 16 bits of 8 blocks fill
    for (size_t i = 0; i < 8; ++i) sums[i] = vld1q_u16(bounds + 8 * i);
    for (size_t row = 0; row < rows; ++row) {
      const uint8x16_t table = vld1q_u8(tables + row * kCodes);
      const uint8_t* codes = runs[row].codes + superblock * kSuperblockCodes;
      for (size_t i = 0; i < 4; ++i) {
        const uint8x16_t pairs = vld1q_u8(codes + i % 2 * 16);
        const uint8x16_t values =
            vqtbl1q_u8(table, i < 2 ? vandq_u8(pairs, vdupq_n_u8(15)) : vshrq_n_u8(pairs, 4));
        sums[2 * i] = vaddw_u8(sums[2 * i], vget_low_u8(values));
        sums[2 * i + 1] = vaddw_high_u8(sums[2 * i + 1], values);
      }
    }
    uint16x8_t most = vdupq_n_u16(0);
    for (size_t i = 0; i < 8; ++i) {
      vst1q_u16(bounds + 8 * i, sums[i]);
      most = vmaxq_u16(most, sums[i]);
    }
    superblock_maxima[superblock] = vmaxvq_u16(most);
  }
}

uint64_t at_least(const uint16_t* values, uint16_t least) {
  const uint16x8_t limit = vdupq_n_u16(least);
  uint8x16_t reached[4];
  for (size_t i = 0; i < 4; ++i)
    reached[i] = vcombine_u8(vmovn_u16(vcgeq_u16(vld1q_u16(values + 16 * i), limit)),
                             vmovn_u16(vcgeq_u16(vld1q_u16(values + 16 * i + 8), limit)));
  return bits_of(reached);
}

// The blocks of a superblock that have postings, a bit each: those with a code above zero.
inline uint64_t present(const Run& run, size_t superblock) {
  const uint8_t* codes = run.codes + superblock * kSuperblockCodes;
  const uint8x16_t first = vld1q_u8(codes), second = vld1q_u8(codes + 16);
  const uint8x16_t low = vdupq_n_u8(15), high = vdupq_n_u8(240);
  return bits_of(
      {vtstq_u8(first, low), vtstq_u8(second, low), vtstq_u8(first, high), vtstq_u8(second, high)});
}

// Adds a row's products to the sums of the wanted blocks of a superblock.
template <unsigned planes>
void add_row(const Run& run, size_t superblock, uint64_t wanted, uint16_t factor, uint32_t* sums) {
  const uint64_t blocks = present(run, superblock);
  const uint8_t* masks = chunk_at(run, superblock, planes);
  const size_t count = count_ones(blocks);
  const uint8_t* weights = masks + count;
  const size_t plane = planes == 2 ? ones(masks, count) : 0;
  const uint16x8_t factors = vdupq_n_u16(factor);
  size_t counted = 0;
  for (uint64_t left = blocks & wanted; left != 0; left &= left - 1) {
    const auto block = static_cast<unsigned>(__builtin_ctzll(left));
    const size_t before = count_ones(blocks & ((uint64_t{1} << block) - 1));
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

void add(const Rows& rows, size_t first, size_t count, const uint64_t* wanted, uint32_t* sums) {
  for (size_t row = 0; row < rows.count; ++row)
    for (size_t i = 0; i < count; ++i) {
      if (wanted[i] == 0) continue;
      const auto factor = static_cast<uint16_t>(rows.factors[row]);
      uint32_t* at = sums + i * kSuperblockDocuments;
      if (rows.planes == 1)
        add_row<1>(rows.runs[row], first + i, wanted[i], factor, at);
      else
        add_row<2>(rows.runs[row], first + i, wanted[i], factor, at);
    }
}

void add_slices(const Slice* slices, size_t count, unsigned planes, uint32_t* sums) {
  for (size_t i = 0; i < count; ++i)
    planes == 2 ? add_slice<uint16_t>(slices[i], sums) : add_slice<uint8_t>(slices[i], sums);
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

const Loops kNeonLoops = {bound,           block_bounds_of<uint8_t>,
                          at_least,        add,
                          add_slices,      find_ranks,
                          add_lists,       add_bitmap,
                          reach,           kMostSuperblocks,
                          {1.0 / 256, 400}};

}  // namespace lsr::index
