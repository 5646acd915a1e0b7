// Asynchronous copies as libcu++ wraps them: a pipeline of two stages, and a barrier with bulk copies.
#include <cooperative_groups.h>
#include <cuda/barrier>
#include <cuda/pipeline>
#include <cuda/ptx>
namespace cg = cooperative_groups;

extern "C" __global__ void pipelined(const int* in, int* out, int rounds) {
    __shared__ alignas(16) int stage[2][128];
    __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 2> state;
    auto block = cg::this_thread_block();
    auto pipe = cuda::make_pipeline(block, &state);
    int sum = 0;
    for (int fetch = 0, use = 0; use < rounds; use++) {
        for (; fetch < rounds && fetch < use + 2; fetch++) {
            pipe.producer_acquire();
            cuda::memcpy_async(block, stage[fetch % 2], in + fetch * 128,
                               cuda::aligned_size_t<16>(512), pipe);
            pipe.producer_commit();
        }
        pipe.consumer_wait();
        sum += stage[use % 2][127 - threadIdx.x] * (use + 1);
        pipe.consumer_release();
    }
    out[threadIdx.x] = sum;
}

extern "C" __global__ void bulk(const int* in, int* out) {
    __shared__ alignas(128) int tile[256];
    __shared__ cuda::barrier<cuda::thread_scope_block> arrived;
    if (threadIdx.x == 0) {
        init(&arrived, blockDim.x);
        cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
    }
    __syncthreads();
    cuda::barrier<cuda::thread_scope_block>::arrival_token token;
    if (threadIdx.x == 0) {
        cuda::memcpy_async(tile, in + blockIdx.x * 256, cuda::aligned_size_t<16>(1024), arrived);
        token = cuda::device::barrier_arrive_tx(arrived, 1, 0);
    } else {
        token = arrived.arrive();
    }
    arrived.wait(std::move(token));
    for (int at = threadIdx.x; at < 256; at += blockDim.x) tile[at] = tile[at] * 3 + 1;
    cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
    __syncthreads();
    if (threadIdx.x == 0) {
        cuda::ptx::cp_async_bulk(cuda::ptx::space_global, cuda::ptx::space_shared,
                                 out + blockIdx.x * 256, tile, 1024);
        cuda::ptx::cp_async_bulk_commit_group();
        cuda::ptx::cp_async_bulk_wait_group_read(cuda::ptx::n32_t<0>());
    }
}
