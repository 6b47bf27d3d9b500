// AVX2 and FMA.
#include "lanes_avx2.h"
#include "loops_generic.h"

namespace lsr::encoders {
const Loops kAvx2Loops = kLoops;
}
