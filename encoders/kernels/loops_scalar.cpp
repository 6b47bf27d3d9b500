// Vectors of four floats in plain C++, for any machine: the twin that the others are held to.
#include <cstddef>
#include <cstdint>

#include "read.h"

namespace lsr::encoders {
namespace {

constexpr size_t kLanes = 4;
constexpr size_t kRows = 4;
constexpr size_t kByteRows = 2;
constexpr size_t kByteVectors = 1;
constexpr bool kShiftsBytes = false;
constexpr int8_t kMostScreened = 127;

typedef float Vec __attribute__((vector_size(16)));
typedef int32_t Ints __attribute__((vector_size(16)));

inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }

struct Bytes {
  Ints values[4];
};
struct Byte {
  int32_t values[4];
};

inline Bytes weights_at(const int8_t* from) {
  const auto quads = read<Ints>(from);
  return {{quads << 24 >> 24, quads << 16 >> 24, quads << 8 >> 24, quads >> 24}};
}
inline Byte input_at(const uint8_t* from) { return {{from[0], from[1], from[2], from[3]}}; }
inline Ints dot(Ints sum, const Bytes& w, const Byte& x) {
  for (size_t i = 0; i < 4; ++i) sum += w.values[i] * x.values[i];
  return sum;
}
inline uint32_t signs(Ints v) {
  uint32_t bits = 0;
  for (size_t i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(v[i] < 0) << i;
  return bits;
}
inline Vec load_part(const float* from, size_t count) {
  Vec v = {};
  for (size_t i = 0; i < (count < kLanes ? count : kLanes); ++i) v[i] = from[i];
  return v;
}
inline void store_part(float* to, Vec v, size_t count) {
  for (size_t i = 0; i < (count < kLanes ? count : kLanes); ++i) to[i] = v[i];
}
inline void store_bytes(void* to, Ints v, size_t count) {
  auto* bytes = static_cast<uint8_t*>(to);
  for (size_t i = 0; i < (count < kLanes ? count : kLanes); ++i)
    bytes[i] = static_cast<uint8_t>(v[i]);
}

}  // namespace
}  // namespace lsr::encoders

#include "loops_generic.h"

namespace lsr::encoders {
const Loops kScalarLoops = kLoops;
}
