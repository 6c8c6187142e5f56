#include <immintrin.h>

#define IMPASTO_SET set_avx512
#define LANES 16
#define VECTORS 4
#define ROWS 6
#include "kernels.inc"

namespace impasto {

const InstructionSet avx512{"avx512",
                            [] { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"); },
                            set_avx512::kernels_of<set_avx512::Float32>(),
                            {}};

}  // namespace impasto
