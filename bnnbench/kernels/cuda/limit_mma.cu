// The rate of b1 products by mma.sync on registers alone, which `mma` cannot exceed. A seed of 0 gives zero bits; any
// other gives random bits, which take more power and so lower the clock.

__device__ __forceinline__ u32 random_bits(u32 seed, u32 index) {
  u32 x = seed ? index * 2654435761u + seed : 0;
  x ^= x >> 16, x *= 0x85ebca6bu, x ^= x >> 13, x *= 0xc2b2ae35u;
  return x ^ x >> 16;
}

// `turns` times 16 independent products a warp, of 16 x 8 x 256 bits each.
extern "C" __global__ void __launch_bounds__(THREADS) limit_mma(int* __restrict__ out, int turns, u32 seed) {
  int thread = blockIdx.x * THREADS + threadIdx.x, acc[4][16] = {}, sum = 0;
  u32 a[4][4], b[4][2];
#pragma unroll
  for (int i = 0; i < 24; i++) (i < 16 ? a[i / 4][i % 4] : b[i / 2 - 8][i % 2]) = random_bits(seed, 24 * thread + i);
#pragma unroll 1
  for (int turn = 0; turn < turns; turn++)
#pragma unroll
    for (int i = 0; i < 16; i++) {
#if FORM == XOR
      mma_xor(&acc[i / 4][i % 4 * 4], a[i / 4][0], b[i % 4][0]);
      mma_xor(&acc[i / 4][i % 4 * 4], a[i / 4][2], b[i % 4][1]);
      mma_xor(&acc[i / 4][i % 4 * 4 + 2], a[i / 4][1], b[i % 4][0]);
      mma_xor(&acc[i / 4][i % 4 * 4 + 2], a[i / 4][3], b[i % 4][1]);
#else
      mma_and(&acc[i / 4][i % 4 * 4], a[i / 4], b[i % 4]);
#endif
    }
#pragma unroll
  for (int i = 0; i < 64; i++) sum += acc[i / 16][i % 16];
  out[thread] = sum;
}
