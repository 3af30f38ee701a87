// Binary product on CUDA cores, for any chip: 256 threads of 4 x 8 outputs in a tile of 64 x 128.
//
// Carry-save counting halves the population counts. A running parity s takes in two words of mismatches x, y: t = s ^
// x, s' = t ^ y, and the carry of s + x + y is a function of s, t, s' alone: (s & ~t) | (t & ~s'). Each of the three
// is one ternary logic instruction; then one popcount and one addition a pair of words. The count is 2 acc + popc(s).

#define DEPTH 4  // chunks of 16 bytes a step
#define LOADS ((ROWS + COLUMNS) * DEPTH / THREADS)

struct Shared {
  u32 left[4 * DEPTH][ROWS], right[4 * DEPTH][COLUMNS];  // word k of every row side by side
  int start[ROWS];
};

__device__ __forceinline__ void load_step(Shared& shared, int step, int steps, Tile tile, GEMM_PARAMETERS) {
  const uint4* from = left + step / steps * plane;
#pragma unroll
  for (int i = 0; i < LOADS; i++) {
    int index = threadIdx.x + i * THREADS, r = index % (ROWS + COLUMNS), k = index / (ROWS + COLUMNS);
    int chunk = step % steps * DEPTH + k, row = tile.row * ROWS + r, column = tile.column * COLUMNS + r - ROWS;
    uint4 taken = make_uint4(0, 0, 0, 0);
    if (chunk < chunks && r < ROWS && row < m) taken = from[shared.start[r] + place(chunk, span, jump)];
    if (chunk < chunks && r >= ROWS && column < n) taken = right[(u64)column * chunks + chunk];
    u32* to = r < ROWS ? &shared.left[4 * k][r] : &shared.right[4 * k][r - ROWS];
    int stride = r < ROWS ? ROWS : COLUMNS;
    to[0] = taken.x, to[stride] = taken.y, to[2 * stride] = taken.z, to[3 * stride] = taken.w;
  }
}

__device__ __forceinline__ void count(int (&acc)[4][8], u32 (&parity)[4][8], const Shared& shared, int ty, int tx) {
#pragma unroll 1
  for (int k = 0; k < 4 * DEPTH; k += 2) {
    uint4 a0 = *(const uint4*)&shared.left[k][4 * ty], a1 = *(const uint4*)&shared.left[k + 1][4 * ty];
    u32 first[4] = {a0.x, a0.y, a0.z, a0.w}, second[4] = {a1.x, a1.y, a1.z, a1.w};
#pragma unroll
    for (int j = 0; j < 8; j++) {
      u32 b0 = shared.right[k][tx + 16 * j], b1 = shared.right[k + 1][tx + 16 * j];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        u32 s = parity[i][j], t = s ^ first[i] ^ b0, next = t ^ second[i] ^ b1;
        acc[i][j] += __popc(carry(s, t, next));
        parity[i][j] = next;
      }
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) carry_save(GEMM_PARAMETERS) {
  __shared__ __align__(16) Shared shared;
  Tile tile = tile_of_block((m + ROWS - 1) / ROWS, (n + COLUMNS - 1) / COLUMNS);
  int tx = threadIdx.x % 16, ty = threadIdx.x / 16;  // rows 4 ty...+3, columns tx, tx + 16, ...
  if (threadIdx.x < ROWS) {
    int row = tile.row * ROWS + threadIdx.x;
    shared.start[threadIdx.x] = row < m ? origin(row, positions, width, image, down, right_step) : 0;
  }
  __syncthreads();

  int acc[4][8] = {};
  u32 parity[4][8] = {};
  int steps = (chunks + DEPTH - 1) / DEPTH, total = steps * planes;
  for (int step = 0; step < total; step++) {
    load_step(shared, step, steps, tile, GEMM_ARGUMENTS);
    __syncthreads();
    if (planes > 1 && step % steps == 0)  // a plane counts twice the next one: acc becomes half of the doubled count
#pragma unroll
      for (int i = 0; i < 32; i++) {
        acc[i / 8][i % 8] = 2 * acc[i / 8][i % 8] + __popc(parity[i / 8][i % 8]);
        parity[i / 8][i % 8] = 0;
      }
    count(acc, parity, shared, ty, tx);
    __syncthreads();
  }

#pragma unroll
  for (int i = 0; i < 4; i++) {
    int row = tile.row * ROWS + 4 * ty + i;
    const int* row_table = table + (classes && row < m ? (u64)classes[row % positions] * n : 0);
#ifdef BITS
    u64 word[2] = {};
#endif
#pragma unroll
    for (int j = 0; j < 8; j++) {
      int column = tile.column * COLUMNS + tx + 16 * j;
      int p = 2 * acc[i][j] + __popc(parity[i][j]);
#ifdef BITS
      // A warp holds 16 columns of two rows.
      bool bit = column < n && (p <= row_table[column]) != (flip[column] != 0);
      u32 ballot = __ballot_sync(WHOLE_WARP, bit) >> (ty % 2 * 16) & 0xffff;
      word[j / 4] |= (u64)ballot << (j % 4 * 16);
#else
      if (row < m && column < n) put(out, row, column, n, row_table[column] - factor * p);
#endif
    }
#ifdef BITS
    if (row < m && tx < 2) ((u64*)out)[(u64)row * words_of(n) + tile.column * 2 + tx] = tx ? word[1] : word[0];
#endif
  }
}
