// The rate of b1 products by wgmma on operands that stay in shared memory, which `wgmma` cannot exceed. A seed of 0
// gives zero bits, any other random bits.

// `turns` times 4 products of 64 x 256 x 256 bits for each of the two warp groups of a block.
extern "C" __global__ void __launch_bounds__(THREADS, 1) limit_wgmma(int* __restrict__ out, int turns, u32 seed) {
  DYNAMIC_SHARED(stages);
  u32 start = shared_address(stages), base = (start + 1023) / 1024 * 1024;
  for (int i = threadIdx.x; i < 4 * CHUNKS * (ROWS + COLUMNS); i += THREADS) {
    u32 x = seed ? i * 2654435761u + seed : 0;
    x ^= x >> 16, x *= 0x85ebca6bu, x ^= x >> 13;
    ((u32*)(stages + (base - start)))[i] = x;
  }
  publish_to_wgmma();
  __syncthreads();
  int acc[128] = {}, sum = 0;
  u64 a = descriptor(base + 64 * 128 * (threadIdx.x / 128)), b = descriptor(base + ROWS * 128);
#pragma unroll 1
  for (int turn = 0; turn < turns; turn++) {
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < 4; k++) wgmma_64x256x256(acc, a + 2 * k, b + 2 * k);
    wgmma_commit();
    wgmma_wait<1>();
  }
  wgmma_wait<0>();
  wgmma_end(acc);
#pragma unroll
  for (int i = 0; i < 128; i++) sum += acc[i];
  out[blockIdx.x * THREADS + threadIdx.x] = sum;
}
