// Binary product of few rows (MR at a time), bound by reading the weights once. A warp computes one column, a block eight.
// Dense operands only (row m of the left one starts at chunk m * chunks).

extern "C" __global__ void __launch_bounds__(THREADS, 2) gemv(GEMM_PARAMETERS) {
#ifdef BITS
  __shared__ u8 bits[MR][8];
#endif
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 8 + warp, row = blockIdx.y * MR;
  int p[MR] = {};
  if (column < n) {
    const uint4* weights = right + (u64)column * chunks;
    for (int i = 0; i < planes; i++) {
      const uint4* rows = left + i * plane + (u64)row * chunks;
#pragma unroll
      for (int r = 0; r < MR; r++) p[r] *= 2;  // a plane counts twice the next one
#pragma unroll 1
      for (int chunk = lane; chunk < chunks; chunk += 32) {
        uint4 w = weights[chunk];
#pragma unroll
        for (int r = 0; r < MR; r++)
          if (row + r < m) {
            uint4 x = rows[(u64)r * chunks + chunk];
            p[r] += __popc(x.x ^ w.x) + __popc(x.y ^ w.y) + __popc(x.z ^ w.z) + __popc(x.w ^ w.w);
          }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < MR; r++) {
    int total = warp_sum(p[r]);
#ifdef BITS
    if (lane == 0) bits[r][warp] = column < n && (total <= table[column]) != (flip[column] != 0);
#else
    if (lane == 0 && column < n && row + r < m) put(out, row + r, column, n, table[column] - factor * total);
#endif
  }
#ifdef BITS
  __syncthreads();
  if (threadIdx.x < MR && row + threadIdx.x < m) {
    u32 byte = 0;
    for (int i = 0; i < 8; i++) byte |= bits[threadIdx.x][i] << i;
    ((u8*)out)[(u64)(row + threadIdx.x) * words_of(n) * 8 + blockIdx.x] = byte;
  }
#endif
}
