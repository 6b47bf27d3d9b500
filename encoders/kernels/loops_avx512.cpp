// AVX-512 with VNNI, whose dot products of unsigned with signed bytes wrap nowhere.
#include "lanes_avx512.h"
#include "loops_generic.h"

namespace lsr::encoders {
const Loops kAvx512Loops = kLoops;
}
