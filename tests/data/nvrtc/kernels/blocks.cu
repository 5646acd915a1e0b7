// What CUB does with a block: sums, prefix sums, sorting; and a histogram by atomics.
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

extern "C" __global__ void reduce_scan(const int* in, int* sums, int* prefix, int n) {
    using Reduce = cub::BlockReduce<int, 128>;
    using Scan = cub::BlockScan<int, 128>;
    __shared__ union { Reduce::TempStorage reduce; Scan::TempStorage scan; } temp;
    int at = blockIdx.x * 128 + threadIdx.x;
    int rest = min(n - int(blockIdx.x) * 128, 128);
    int value = at < n ? in[at] : 0;
    int sum = Reduce(temp.reduce).Sum(value, rest);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
    __syncthreads();
    int before;
    Scan(temp.scan).ExclusiveSum(value, before);
    if (at < n) prefix[at] = before;
}

extern "C" __global__ void sort(const unsigned* in, unsigned* out) {
    using Sort = cub::BlockRadixSort<unsigned, 128, 4>;
    __shared__ Sort::TempStorage temp;
    unsigned keys[4];
    for (int i = 0; i < 4; i++) keys[i] = in[threadIdx.x * 4 + i];
    Sort(temp).Sort(keys);
    for (int i = 0; i < 4; i++) out[threadIdx.x * 4 + i] = keys[i];
}

extern "C" __global__ void histogram(const unsigned char* in, int* bins, int n) {
    __shared__ int own[64];
    if (threadIdx.x < 64) own[threadIdx.x] = 0;
    __syncthreads();
    for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < n; at += gridDim.x * blockDim.x)
        atomicAdd(&own[in[at] & 63], 1);
    __syncthreads();
    if (threadIdx.x < 64) atomicAdd(&bins[threadIdx.x], own[threadIdx.x]);
}
