// AVX2 and FMA with VNNI, but without AVX-512.
#include "lanes_avx2.h"
#include "loops_generic.h"

namespace lsr::encoders {
const Loops kAvxVnniLoops = kLoops;
}
