// The sets of loops and whether this machine can use them; CMakeLists.txt has the flags that each
// is compiled with.
#pragma once

#include "loops.h"
#include "native/isa.h"

namespace lsr::encoders {

inline const Isas<Loops>& isas() {
  static const Isas<Loops> all = {
      {"scalar", &kScalarLoops, true},
#ifdef LSR_X86
      {"avx2", &kAvx2Loops, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
#ifdef LSR_AVXVNNI
      {"avxvnni", &kAvxVnniLoops, __builtin_cpu_supports("avxvnni") != 0, false},
#endif
      {"avx512", &kAvx512Loops, has_avx512()},
      {"avx512bf16", &kAvx512Bf16Loops, __builtin_cpu_supports("avx512bf16") != 0},
#endif
#ifdef LSR_ARM
      {"neon", &kNeonLoops, true},
      {"neondotprod", &kNeonDotprodLoops, has_dotprod()},
#endif
  };
  return all;
}

}  // namespace lsr::encoders
