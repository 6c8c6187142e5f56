// The functions that Python calls, with the addresses of tensors.

#include <cstring>

#include "kernels.h"
#include "parallel.h"

using namespace impasto;

namespace {

const InstructionSet* const sets[] = {
#if defined(__x86_64__)
    &avx512_bf16,
    &avx512,
    &avx2,
#endif
    &baseline,
};

}  // namespace

#define EXPORT __attribute__((visibility("default")))

extern "C" {

// Returns the name of the best instruction set of this processor.
EXPORT const char* impasto_best_set() {
    for (const auto* set : sets)
        if (set->is_present()) return set->name;
    return nullptr;
}

// Returns the kernels for an instruction set and a type; null if this processor lacks them.
EXPORT const Kernels* impasto_find(const char* name, int bfloat16) {
    for (const auto* set : sets)
        if (!std::strcmp(name, set->name) && set->is_present()) {
            const Kernels& found = bfloat16 ? set->bfloat16 : set->float32;
            return found.convolve ? &found : nullptr;
        }
    return nullptr;
}

EXPORT void impasto_set_start_team(void* function) { start_team = reinterpret_cast<StartTeam>(function); }

EXPORT void impasto_pack_kernel(const Kernels* kernels, const float* kernel, void* packed, int inputs, int outputs,
                                int threads) {
    kernels->pack_kernel({kernel, packed, inputs, outputs, threads});
}

EXPORT void impasto_convolve(const Kernels* kernels, const void* input, const void* kernel, const float* bias,
                             void* output, int height, int width, int inputs, int outputs, int rectify, int threads) {
    kernels->convolve({input, kernel, bias, output, height, width, inputs, outputs, rectify != 0, threads});
}

EXPORT void impasto_add_moments(const Kernels* kernels, const void* rows, ptrdiff_t count, int channels, float* sum,
                                float* outer, int threads) {
    kernels->add_moments({rows, count, channels, sum, outer, threads});
}

EXPORT void impasto_add_products(const Kernels* kernels, void* total, const void* rows, const float* matrix,
                                 const float* vector, ptrdiff_t count, int channels, int threads) {
    kernels->add_products({total, rows, matrix, vector, count, channels, threads});
}

EXPORT void impasto_measure_difference(const Kernels* kernels, const void* values, const float* target, ptrdiff_t count,
                                       double* sums, int threads) {
    kernels->measure_difference({values, target, count, sums, nullptr, 0, 0, threads});
}

EXPORT void impasto_add_difference(const Kernels* kernels, void* total, const void* values, const float* target,
                                   ptrdiff_t count, float by_square, float by_absolute, int threads) {
    kernels->add_difference({values, target, count, nullptr, total, by_square, by_absolute, threads});
}

EXPORT void impasto_pool(const Kernels* kernels, const void* input, void* output, int height, int width, int channels,
                         int threads) {
    kernels->pool({input, nullptr, output, height, width, channels, threads});
}

EXPORT void impasto_pool_backward(const Kernels* kernels, const void* input, const void* gradient, void* output,
                                  int height, int width, int channels, int threads) {
    kernels->pool_backward({input, gradient, output, height, width, channels, threads});
}

}  // extern "C"
