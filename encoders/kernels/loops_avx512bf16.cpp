// AVX-512 with VNNI and bfloat16.
#include "lanes_avx512.h"
#include "loops_generic.h"

namespace lsr::encoders {
const Loops kAvx512Bf16Loops = kLoops;
}
