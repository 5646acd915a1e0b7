// Cooperative groups: tiles of a warp, a cluster's distributed shared memory; warp matrices.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <cuda_fp16.h>
#include <mma.h>
namespace cg = cooperative_groups;

extern "C" __global__ void tiles(const int* in, int* sums, int* before, unsigned* odd) {
    auto tile = cg::tiled_partition<8>(cg::this_thread_block());
    int at = blockIdx.x * blockDim.x + threadIdx.x, value = in[at];
    sums[at] = cg::reduce(tile, value, cg::plus<int>());
    before[at] = cg::exclusive_scan(tile, value, cg::greater<int>());
    unsigned mine = 0;
    if (value & 1) {
        auto those = cg::coalesced_threads();
        mine = those.size() * 100 + those.thread_rank();
    }
    odd[at] = mine;
}

extern "C" __global__ void __cluster_dims__(4, 1, 1) ring(const int* in, int* out) {
    __shared__ int own[64];
    auto cluster = cg::this_cluster();
    unsigned rank = cluster.block_rank();
    own[threadIdx.x] = in[blockIdx.x * 64 + threadIdx.x];
    cluster.sync();
    int sum = 0;
    for (unsigned step = 0; step < 4; step++)
        sum += cluster.map_shared_rank(own, (rank + step) % 4)[63 - threadIdx.x] * int(step + 1);
    out[blockIdx.x * 64 + threadIdx.x] = sum;
    cluster.sync();
}

extern "C" __global__ void matrices(const __half* a, const __half* b, float* c, int k) {
    using namespace nvcuda::wmma;
    fragment<matrix_a, 16, 16, 16, __half, row_major> x;
    fragment<matrix_b, 16, 16, 16, __half, col_major> y;
    fragment<accumulator, 16, 16, 16, float> sum;
    int row = blockIdx.y * 16, column = (blockIdx.x * 2 + threadIdx.x / 32) * 16;
    fill_fragment(sum, 0.0f);
    for (int at = 0; at < k; at += 16) {
        load_matrix_sync(x, a + row * k + at, k);
        load_matrix_sync(y, b + column * k + at, k);
        mma_sync(sum, x, y, sum);
    }
    store_matrix_sync(c + row * 64 + column, sum, 64, mem_row_major);
}
