#include <immintrin.h>

#define IMPASTO_SET set_avx2
#define LANES 8
#define VECTORS 2
#define ROWS 6
#include "kernels.inc"

namespace impasto {

const InstructionSet avx2{"avx2",
                          [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); },
                          set_avx2::kernels_of<set_avx2::Float32>(),
                          {}};

}  // namespace impasto
