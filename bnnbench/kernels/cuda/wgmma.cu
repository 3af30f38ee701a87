// Binary product on Hopper's warp-group tensor cores (sm_90a): two warp groups of 64 x 256 in a tile of 128 x 256.
// One plane only. A stage is 48 KiB: 128 + 256 rows of 1024 bits; rows of 128 bytes, 8 rows (1024 bytes) repeat the
// swizzle.

extern "C" __global__ void __launch_bounds__(THREADS, 1) wgmma(GEMM_PARAMETERS) {
  DYNAMIC_SHARED(stages);
  __shared__ Edges edges;
  Tile tile = tile_of_block((m + ROWS - 1) / ROWS, (n + COLUMNS - 1) / COLUMNS);
  fill_edges(edges, tile, GEMM_ARGUMENTS);
  __syncthreads();

  u32 base = (shared_address(stages) + 1023) / 1024 * 1024;  // the swizzle counts from multiples of 1024
  int group = threadIdx.x / 128, steps = (chunks + CHUNKS - 1) / CHUNKS;
#pragma unroll 1
  for (int s = 0; s < STAGES - 2; s++) {
    if (s < steps) load_stage(base + s * STAGE, s, steps, edges, tile, GEMM_ARGUMENTS);
    copy_commit();
  }
  int acc[128] = {};
  for (int step = 0; step < steps; step++) {
    copy_wait<STAGES - 3>();
    publish_to_wgmma();
    __syncthreads();  // this step's stage is full, and both groups are done with the stage of step - 2
    u32 stage = base + step % STAGES * STAGE;
    u64 a = descriptor(stage + 64 * 128 * group), b = descriptor(stage + ROWS * 128);
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < 4; k++) wgmma_64x256x256(acc, a + 2 * k, b + 2 * k);
    wgmma_commit();
    int next = step + STAGES - 2;
    if (next < steps) load_stage(base + next % STAGES * STAGE, next, steps, edges, tile, GEMM_ARGUMENTS);
    copy_commit();
    wgmma_wait<1>();  // the products of step - 1
  }
  wgmma_wait<0>();
  wgmma_end(acc);
  finish<32>(acc, threadIdx.x / 32 * 16, 0, edges, tile, GEMM_ARGUMENTS);
}
