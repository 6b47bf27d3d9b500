// AVX2 and FMA.  maddubs would saturate, so bytes are widened to 16 bits for madd.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "read.h"

namespace lsr::encoders {
namespace {

constexpr size_t kLanes = 8;
constexpr size_t kRows = 6;
constexpr size_t kByteRows = 4;
constexpr size_t kByteVectors = 2;
constexpr bool kShiftsBytes = false;

using Vec = __m256;
typedef int32_t Ints __attribute__((vector_size(32)));

inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }

// The bytes at even and at odd places, 16 bits each.
struct Bytes {
  __m256i even, odd;
};
using Byte = Bytes;

inline Bytes weights_at(const int8_t* from) {
  const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return {_mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8), _mm256_srai_epi16(v, 8)};
}
inline Byte input_at(const uint8_t* from) {
  const __m256i v = _mm256_set1_epi32(read<int32_t>(from));
  return {_mm256_and_si256(v, _mm256_set1_epi16(255)), _mm256_srli_epi16(v, 8)};
}
inline Ints dot(Ints sum, const Bytes& w, const Byte& x) {
  return sum + reinterpret_cast<Ints>(_mm256_madd_epi16(w.even, x.even)) +
         reinterpret_cast<Ints>(_mm256_madd_epi16(w.odd, x.odd));
}
inline uint32_t signs(Ints v) {
  return static_cast<uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(v)));
}

inline __m256i first_lanes(size_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count < kLanes ? count : kLanes)),
                            lanes);
}
inline Vec load_part(const float* from, size_t count) {
  return _mm256_maskload_ps(from, first_lanes(count));
}
inline void store_part(float* to, Vec v, size_t count) {
  _mm256_maskstore_ps(to, first_lanes(count), v);
}

}  // namespace
}  // namespace lsr::encoders

#include "loops_generic.h"

namespace lsr::encoders {
const Loops kAvx2Loops = kLoops;
}
