// The sets of loops and whether this machine can use them; CMakeLists.txt has the flags that each
// is compiled with.
#pragma once

#include "loops.h"
#include "native/isa.h"

namespace lsr::index {

inline const Isas<Loops>& isas() {
  static const Isas<Loops> all = {
      {"scalar", &kScalarLoops, true},
#ifdef LSR_X86
      {"avx2", &kAvx2Loops,
       __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")},
      {"avx512", &kAvx512Loops,
       has_avx512() && __builtin_cpu_supports("avx512vbmi2") &&
           __builtin_cpu_supports("avx512vpopcntdq")},
#endif
#ifdef LSR_ARM
      {"neon", &kNeonLoops, true},
#endif
  };
  return all;
}

}  // namespace lsr::index
