// Compares every loop of every set that this machine can use with its scalar twin:
//
//   check_loops [SETS OF INDEX] [SETS OF ENCODERS]
//
// With arguments, such as "scalar neon", these must be the sets.  Exits with 1 when something
// differs.
#include <cstdio>

#include "check.h"

int main(int count, char** arguments) {
  const std::string found[] = {lsr::check_index(), lsr::check_encoders()};
  const char* kernels[] = {"index", "encoders"};
  for (int i = 0; i < 2; ++i) {
    std::printf("%s: %s\n", kernels[i], found[i].c_str());
    if (i + 1 >= count) continue;
    lsr::Check(kernels[i], "sets", arguments[i + 1])
        .expect(found[i] == arguments[i + 1], "this machine has others");
  }
  std::printf("%zu passed, %zu failed\n", lsr::Check::all_passed, lsr::Check::all_failed);
  return lsr::Check::all_failed == 0 ? 0 : 1;
}
