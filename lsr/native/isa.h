// Instruction sets: the loops of a kernel are compiled once a set, and this machine has some of
// them.
#pragma once

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef LSR_ARM
#ifdef __APPLE__
#include <sys/sysctl.h>
#else
#include <sys/auxv.h>
#endif
#endif

namespace lsr {

#ifdef LSR_X86
// Whether this machine has what all loops for AVX-512 are compiled with; see CMakeLists.txt.
inline bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

#ifdef LSR_ARM
// Whether this machine has dot products of bytes, which not all that have NEON do.
inline bool has_dotprod() {
#ifdef __APPLE__
  int has = 0;
  size_t size = sizeof has;
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, nullptr, 0) == 0 && has != 0;
#else
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
}
#endif

template <class Loops>
struct Isa {
  const char* name;
  const Loops* loops;
  bool usable;
  bool needed = true;  // by those after it
};

// The loops of a kernel for each instruction set, worst first.  The first is usable everywhere, the
// others where those before them are that they need.
template <class Loops>
class Isas {
 public:
  Isas(std::initializer_list<Isa<Loops>> isas) {
    for (const Isa<Loops>& isa : isas) {
      if (isa.usable)
        usable_.push_back(isa);
      else if (isa.needed)
        break;
    }
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const Isa<Loops>& isa : usable_) names.emplace_back(isa.name);
    return names;
  }

  // Throws std::invalid_argument when this machine lacks the set.
  const Loops& loops(const std::string& name) const {
    for (const Isa<Loops>& isa : usable_)
      if (name == isa.name) return *isa.loops;
    throw std::invalid_argument("no such instruction set here: " + name);
  }

 private:
  std::vector<Isa<Loops>> usable_;
};

}  // namespace lsr
