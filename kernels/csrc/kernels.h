// The kernels, which are compiled once for each instruction set. Tensors are channels-last, in float32 or bfloat16;
// numbers of channels are multiples of 64.
#pragma once

#include <cstddef>
#include <cstdint>

namespace impasto {

struct Packing {
    const float* kernel;  // (outputs, inputs, 3, 3)
    void* packed;         // 36 · inputs · outputs values, in the order of `convolve`
    int inputs, outputs;
    int threads;
};

struct Convolution {
    const void* input;   // (height, width, inputs)
    const void* kernel;  // as `pack_kernel` returns it
    const float* bias;   // (outputs), or null
    void* output;        // (height, width, outputs)
    int height, width, inputs, outputs;
    bool rectify;  // apply ReLU to the output
    int threads;
};

struct Moments {
    const void* rows;  // (count, channels)
    ptrdiff_t count;
    int channels;
    float *sum, *outer;  // (channels) and (channels, channels), which are added to
    int threads;
};

struct Products {
    void* total;                   // (count, channels), which rows · matrix + vector is added to
    const void* rows;              // (count, channels)
    const float *matrix, *vector;  // (channels, channels) and (channels); vector may be null
    ptrdiff_t count;
    int channels;
    int threads;
};

struct Difference {
    const void* values;
    const float* target;
    ptrdiff_t count;
    double* sums;  // of squares and of absolute values, which are added to
    void* total;   // which the gradient is added to
    float by_square, by_absolute;
    int threads;
};

struct Pooling {
    const void* input;     // (height, width, channels)
    const void* gradient;  // (height / 2, width / 2, channels), for the backward pass
    void* output;
    int height, width, channels;
    int threads;
};

// The kernels of one instruction set, for one type of tensors.
struct Kernels {
    void (*pack_kernel)(const Packing&);
    void (*convolve)(const Convolution&);
    void (*add_moments)(const Moments&);
    void (*add_products)(const Products&);
    void (*measure_difference)(const Difference&);
    void (*add_difference)(const Difference&);
    void (*pool)(const Pooling&);
    void (*pool_backward)(const Pooling&);
};

struct InstructionSet {
    const char* name;
    bool (*is_present)();
    Kernels float32;
    Kernels bfloat16;  // null where the processor does not multiply it
};

extern const InstructionSet avx512_bf16, avx512, avx2, baseline;

}  // namespace impasto
