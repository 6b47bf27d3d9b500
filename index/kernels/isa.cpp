#include "isa.h"

namespace lsr {

std::vector<std::string> available_isas() {
  std::vector<std::string> names = {"scalar"};
#ifdef LSR_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("popcnt");
  if (avx2) names.push_back("avx2");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi2"))
    names.push_back("avx512");
#endif
  return names;
}

const Loops* loops_for(const std::string& name) {
  for (const std::string& available : available_isas()) {
    if (available != name) continue;
#ifdef LSR_X86
    if (name == "avx2") return &kAvx2Loops;
    if (name == "avx512") return &kAvx512Loops;
#endif
    return &kScalarLoops;
  }
  return nullptr;
}

}  // namespace lsr
