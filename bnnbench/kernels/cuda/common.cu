// What all products share: operands, the place of a row in the left one, the order of tiles, and what is made of a
// count.
//
// Operands are rows of bits in chunks of 16 bytes (128 bits), padded with zero bits. Left: `planes` times `plane`
// chunks. Right: n rows of `chunks` chunks. Row m of the left operand is a window: its chunk c lies at
//     origin(m) + c + (c / span) * (jump - span),    origin = image * b + down * i + right * j,
// b, i, j = m / positions, m % positions / width, m % width. So a convolution reads overlapping windows of an NHWC
// tensor (span: chunks of one row of taps, jump: chunks of one row of pixels), and a matrix is the case i = b = 0.
//
// The count p of mismatches (planes: doubled from one plane to the next) becomes, by the variant's definition,
//     OUT=int, short, float:  y = table[class][column] - factor * p
//     BITS:                   bit = (p <= table[class][column]) ^ flip[column], packed like the operands
// class = classes[m % positions], or 0 without `classes`.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define GEMM_PARAMETERS \
  const uint4 *__restrict__ left, const uint4 *__restrict__ right, const int *__restrict__ left_ones, \
      const int *__restrict__ right_ones, const int *__restrict__ table, const u8 *__restrict__ flip, \
      const int *__restrict__ classes, void *__restrict__ out, int m, int n, int chunks, int planes, u64 plane, \
      int factor, int positions, int width, int image, int down, int right_step, int span, int jump
#define GEMM_ARGUMENTS \
  left, right, left_ones, right_ones, table, flip, classes, out, m, n, chunks, planes, plane, factor, positions, \
      width, image, down, right_step, span, jump

__device__ __forceinline__ int origin(int row, int positions, int width, int image, int down, int right_step) {
  int position = row % positions;
  return row / positions * image + position / width * down + position % width * right_step;
}

__device__ __forceinline__ int place(int chunk, int span, int jump) { return chunk + chunk / span * (jump - span); }

// Tile of this block: eight rows of tiles run through all columns together, so that both operands stay in L2.
struct Tile {
  int row, column;
};

__device__ __forceinline__ Tile tile_of_block(int rows, int columns) {
  int group = blockIdx.x / (8 * columns), within = blockIdx.x % (8 * columns);
  int height = min(8, rows - 8 * group);
  return {8 * group + within % height, within / height};
}

#ifdef OUT
struct __align__(2 * sizeof(OUT)) Pair {
  OUT first, second;
};

__device__ __forceinline__ void put(void* out, int row, int column, int n, int y) {
  ((OUT*)out)[(u64)row * n + column] = (OUT)y;
}

// Two neighbours, at once where rows are aligned for it; `column` is even.
__device__ __forceinline__ void put_pair(void* out, int row, int column, int n, const int (&y)[2]) {
  if (n % 2 == 0 && column < n) {
    *(Pair*)((OUT*)out + (u64)row * n + column) = {(OUT)y[0], (OUT)y[1]};
  } else {
    if (column < n) put(out, row, column, n, y[0]);
    if (column + 1 < n) put(out, row, column + 1, n, y[1]);
  }
}
#endif

__device__ __forceinline__ int words_of(int bits) { return (bits + 127) / 128 * 2; }
