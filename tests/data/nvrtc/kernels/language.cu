// The language: calls, local arrays, switches, 64-bit and f64 arithmetic, formats.
#include <cuda_fp8.h>
#include <cuda_bf16.h>

__device__ __noinline__ int choose(int kind, int x) {
    switch (kind) {
        case 0: return x + 7;
        case 1: return x * 5;
        case 2: return x ^ 0x55;
        case 3: return -x;
        case 4: return x << 3;
        case 5: return x / 3;
        default: return x % 11;
    }
}

extern "C" __global__ void calls(const int* in, int* out) {
    int at = threadIdx.x, value = in[at], heap[16];
    for (int i = 0; i < 16; i++) heap[(i * 5 + value) & 15] = choose((i + at) % 7, value + i);
    out[at] = at + heap[value & 15] * 1000;
}

extern "C" __global__ void wide(const long long* in, unsigned long long* high, long long* quotient,
                                double* roots) {
    int at = threadIdx.x;
    long long a = in[2 * at], b = in[2 * at + 1];
    high[at] = __umul64hi(a, b) + __popcll(a) + __clzll(b) + __ffsll(a ^ b);
    quotient[at] = a / (b | 1) + a % (b | 1);
    roots[at] = sqrt(double(a & 0xffffff)) / double((b & 0xff) + 1);
}

extern "C" __global__ void formats(const float* in, unsigned char* e4m3, unsigned short* bf,
                                   float* back) {
    int at = threadIdx.x;
    __nv_fp8_e4m3 narrow(in[at]);
    e4m3[at] = narrow.__x;
    bf[at] = __bfloat16_as_ushort(__float2bfloat16_rn(in[at]));
    back[at] = float(narrow) + __bfloat162float(__ushort_as_bfloat16(bf[at]));
}
