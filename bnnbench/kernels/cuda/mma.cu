// Binary product on tensor cores by mma.sync: four warps of 64 x 64 in a tile of 128 x 128, STAGES stages by cp.async.
// FORM by what is native: AND on sm_80...sm_90, XOR on sm_75, BYTES on sm_100 and sm_120, where b1 is emulated.

// d += a times b, 16 rows and 8 columns of 256 bits.
__device__ __forceinline__ void multiply_pair(int* d, const u32 (&a)[4], const u32 (&b)[2]) {
#if FORM == AND
  mma_and(d, a, b);
#elif FORM == BYTES
  mma_bytes(d, a, b);
#else
  mma_xor(d, a[0], b[0]);
  mma_xor(d, a[2], b[1]);
  mma_xor(d + 2, a[1], b[0]);
  mma_xor(d + 2, a[3], b[1]);
#endif
}

__device__ __forceinline__ void multiply_pairs(int (&d)[4][32], const u32 (&a)[4][4], const u32 (&b)[8][2]) {
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 8; j++) multiply_pair(&d[i][4 * j], a[i], b[j]);
}

__device__ __forceinline__ void multiply(int (&d)[4][32], const u32 (&a)[4][4], const u32 (&b)[8][2]) {
#if FORM == BYTES
  // Bit k of every byte becomes a byte: any order of the bits will do that is the same in a and b.
#pragma unroll
  for (int k = 0; k < 8; k++) {
    u32 x[4][4], y[8][2];
#pragma unroll
    for (int i = 0; i < 16; i++) x[i / 4][i % 4] = a[i / 4][i % 4] >> k & 0x01010101u;
#pragma unroll
    for (int i = 0; i < 16; i++) y[i / 2][i % 2] = b[i / 2][i % 2] >> k & 0x01010101u;
    multiply_pairs(d, x, y);
  }
#else
  multiply_pairs(d, a, b);
#endif
}

__device__ __forceinline__ void multiply_stage(int (&acc)[4][32], u32 stage) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, r0 = warp % 2 * 64, c0 = ROWS + warp / 2 * 64;
#pragma unroll
  for (int k = 0; k < CHUNKS; k += 2) {  // 256 bits
    u32 a[4][4], b[8][2];
    // Matrices of a: rows 0-7, rows 8-15 of the first chunk, then of the second.
#pragma unroll
    for (int i = 0; i < 4; i++) ldmatrix4(a[i], stage + 16 * slot(r0 + 16 * i + lane % 16, k + lane / 16));
    // Matrices of b: the two chunks of columns 0-7, then of columns 8-15.
#pragma unroll
    for (int j = 0; j < 8; j += 2) {
      u32 both[4];
      ldmatrix4(both, stage + 16 * slot(c0 + 8 * j + lane % 8 + lane / 16 * 8, k + lane / 8 % 2));
      b[j][0] = both[0], b[j][1] = both[1], b[j + 1][0] = both[2], b[j + 1][1] = both[3];
    }
    multiply(acc, a, b);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) mma(GEMM_PARAMETERS) {
  DYNAMIC_SHARED(stages);
  __shared__ Edges edges;
  Tile tile = tile_of_block((m + ROWS - 1) / ROWS, (n + COLUMNS - 1) / COLUMNS);
  fill_edges(edges, tile, GEMM_ARGUMENTS);
  __syncthreads();

  u32 base = shared_address(stages);
  int steps = (chunks + CHUNKS - 1) / CHUNKS, total = steps * planes;
#pragma unroll 1
  for (int s = 0; s < STAGES - 1; s++) {
    if (s < total) load_stage(base + s * STAGE, s, steps, edges, tile, GEMM_ARGUMENTS);
    copy_commit();
  }
  int acc[4][32] = {};
  for (int step = 0; step < total; step++) {
    copy_wait<STAGES - 2>();
    __syncthreads();  // this step's stage is full, and nobody reads the previous one any more
    int next = step + STAGES - 1;
    if (next < total) load_stage(base + next % STAGES * STAGE, next, steps, edges, tile, GEMM_ARGUMENTS);
    copy_commit();
    if (planes > 1 && step % steps == 0)  // a plane counts twice the next one
#pragma unroll
      for (int i = 0; i < 128; i++) acc[i / 32][i % 32] *= 2;
    multiply_stage(acc, base + step % STAGES * STAGE);
  }
  int warp = threadIdx.x / 32;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    finish<8>(acc[i], warp % 2 * 64 + 16 * i, warp / 2 * 64, edges, tile, GEMM_ARGUMENTS);
    __syncwarp();  // one after the other: together they need more registers than there are
  }
}
