// What the tensor-core kernels share: a stage of shared memory and its filling, and the way from accumulators to
// results.
//
// A stage holds ROWS rows of the left operand and COLUMNS rows of the right one, CHUNKS chunks of 16 bytes each.
// Chunk c of row r lies at chunk slot c ^ (r % 8) of its row (8 chunks, 128 bytes), so that eight rows of one chunk,
// which ldmatrix reads at once, lie in eight different groups of banks. wgmma expects the same order ("128-byte
// swizzle"). Rows of 4 chunks, two of which make 128 bytes, use c ^ (r / 2 % 4).

// FORM: how products count. AND and BYTES count common ones, XOR counts mismatches.
#define AND 0
#define XOR 1
#define BYTES 2

#define STAGE (16 * CHUNKS * (ROWS + COLUMNS))  // bytes

__device__ __forceinline__ int slot(int row, int chunk) {
  return row * CHUNKS + (CHUNKS == 8 ? chunk ^ (row & 7) : chunk ^ (row >> 1 & 3));
}

// Of every row of the tile: where it starts, how many ones it has, its class. Of every column: what its count is
// compared with or subtracted from. `flips` has a bit a column.
struct Edges {
  int start[ROWS], ones[ROWS], cls[ROWS], limit[COLUMNS];
  u32 flips[COLUMNS / 32];
};

__device__ __forceinline__ void fill_edges(Edges& edges, Tile tile, GEMM_PARAMETERS) {
#pragma unroll 1
  for (int r = threadIdx.x; r < ROWS; r += THREADS) {
    int row = tile.row * ROWS + r;
    bool valid = row < m;
    edges.start[r] = valid ? origin(row, positions, width, image, down, right_step) : 0;
    edges.ones[r] = valid && FORM != XOR ? left_ones[row] : 0;
    edges.cls[r] = valid && classes ? classes[row % positions] : 0;
  }
#pragma unroll 1
  for (int i = 0; i < COLUMNS / THREADS; i++) {
    int c = threadIdx.x + i * THREADS, column = tile.column * COLUMNS + c;
    bool valid = column < n;
    // By AND, p = left_ones + right_ones - 2 common, where planes weigh right_ones by 2^planes - 1.
    int ones = valid && FORM != XOR ? ((1 << planes) - 1) * right_ones[column] : 0;
    int base = valid && !classes ? table[column] : 0;
#ifdef BITS
    edges.limit[c] = base - ones;
    u32 flips = __ballot_sync(WHOLE_WARP, valid && flip[column]);
    if (c % 32 == 0) edges.flips[c / 32] = flips;
#else
    edges.limit[c] = base - factor * ones;
#endif
  }
}

// Starts the copies of K step `step` (of `steps` a plane, plane after plane) into the stage at `stage`.
__device__ __forceinline__ void load_stage(u32 stage, int step, int steps, const Edges& edges, Tile tile,
                                           GEMM_PARAMETERS) {
  int slice = step % steps, lane = threadIdx.x % CHUNKS, chunk = slice * CHUNKS + lane;
  bool inside = chunk < chunks;
  const uint4* from = left + step / steps * plane + place(chunk, span, jump);
#pragma unroll
  for (int i = 0; i < ROWS * CHUNKS / THREADS; i++) {
    int r = threadIdx.x / CHUNKS + i * (THREADS / CHUNKS);
    bool valid = inside && tile.row * ROWS + r < m;
    copy16(stage + 16 * slot(r, lane), valid ? from + edges.start[r] : left, valid);
  }
#pragma unroll
  for (int i = 0; i < COLUMNS * CHUNKS / THREADS; i++) {
    int c = threadIdx.x / CHUNKS + i * (THREADS / CHUNKS), column = tile.column * COLUMNS + c;
    bool valid = inside && column < n;
    copy16(stage + 16 * slot(ROWS + c, lane), valid ? right + (u64)column * chunks + chunk : right, valid);
  }
}

__device__ __forceinline__ int mismatches(int ones, int count) { return FORM == XOR ? count : ones - 2 * count; }

// Results of a warp's 16 rows from `r0` and 8 N columns from `c0` of the tile; a thread has acc[4 j + r] as in ptx.cu.
template <int N>
__device__ __forceinline__ void finish(const int (&acc)[4 * N], int r0, int c0, const Edges& edges, Tile tile,
                                       GEMM_PARAMETERS) {
  int quad = threadIdx.x % 4, first = tile.column * COLUMNS + c0, row[2], ones[2];
  const int* row_table[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    int r = r0 + threadIdx.x % 32 / 4 + 8 * half;
    row[half] = tile.row * ROWS + r;
    ones[half] = edges.ones[r];
    row_table[half] = classes ? table + (u64)edges.cls[r] * n : 0;
  }
#pragma unroll
  for (int j0 = 0; j0 < N; j0 += 8) {  // 64 columns; both rows at once, so that a column's limit need not be kept
#ifdef BITS
    u32 word[2][2] = {};
#endif
#pragma unroll
    for (int j = j0; j < j0 + 8; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
#ifndef BITS
        int y[2];
#endif
#pragma unroll
        for (int e = 0; e < 2; e++) {
          int c = 8 * j + 2 * quad + e, column = first + c;
          int p = mismatches(ones[half], acc[4 * j + 2 * half + e]);
          int limit = edges.limit[c0 + c] + (classes && column < n ? row_table[half][column] : 0);
#ifdef BITS
          word[half][j % 8 / 4] |= (u32)(p <= limit && column < n) << (8 * (j % 4) + 2 * quad + e);
#else
          y[e] = limit - factor * p;
#endif
        }
#ifndef BITS
        if (row[half] < m) put_pair(out, row[half], first + 8 * j + 2 * quad, n, y);
#endif
      }
#ifdef BITS
    // The four threads of a quad hold 8 bits each of every 32-bit word; they take turns writing 64 bits.
    int w = j0 / 8, at = first / 64 + w;
#pragma unroll
    for (int half = 0; half < 2; half++) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        word[half][i] |= __shfl_xor_sync(WHOLE_WARP, word[half][i], 1);
        word[half][i] |= __shfl_xor_sync(WHOLE_WARP, word[half][i], 2);
        word[half][i] ^= edges.flips[c0 / 32 + 2 * w + i];
      }
      if (row[half] < m && at < words_of(n) && quad == w % 4)
        ((u64*)out)[(u64)row[half] * words_of(n) + at] = word[half][0] | (u64)word[half][1] << 32;
    }
#endif
  }
}
