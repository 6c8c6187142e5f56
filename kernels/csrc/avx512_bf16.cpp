#include <immintrin.h>

#define IMPASTO_SET set_avx512_bf16
#define LANES 16
#define VECTORS 4
#define ROWS 6
#include "kernels.inc"

namespace impasto {

const InstructionSet avx512_bf16{
    "avx512_bf16", [] { return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl"); },
    set_avx512_bf16::kernels_of<set_avx512_bf16::Float32>(), set_avx512_bf16::kernels_of<set_avx512_bf16::BFloat16>()};

}  // namespace impasto
