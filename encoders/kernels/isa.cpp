#include "isa.h"

#include <stdexcept>

namespace lsr::encoding {
namespace {

struct Isa {
  const char* name;
  const Loops* loops;
};

std::vector<Isa> usable() {
  std::vector<Isa> found = {{"scalar", &kScalarLoops}};
#ifdef LSR_X86
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return found;
  found.push_back({"avx2", &kAvx2Loops});
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vnni"))
    return found;
  found.push_back({"avx512", &kAvx512Loops});
  if (__builtin_cpu_supports("avx512bf16")) found.push_back({"avx512bf16", &kAvx512Bf16Loops});
#endif
  return found;
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : usable()) names.emplace_back(isa.name);
  return names;
}

const Loops& loops_for(const std::string& name) {
  for (const Isa& isa : usable())
    if (name == isa.name) return *isa.loops;
  throw std::invalid_argument("no such instruction set here: " + name);
}

}  // namespace lsr::encoding
