// The pair of kernels that the binarized-networks paper timed, from its description: 16 x 16 tiles of both operands in
// shared memory, one thread for each output. They are the baseline of the paper's own claim and compute nothing else.

#define SIDE 16

// c [m, n] = a [m, k] b [k, n] in float.
extern "C" __global__ void __launch_bounds__(SIDE* SIDE)
    naive_float(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m, int n, int k) {
  __shared__ float as[SIDE][SIDE], bs[SIDE][SIDE];
  int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE, column = blockIdx.x * SIDE + tx, row = blockIdx.y * SIDE + ty;
  float sum = 0;
  for (int first = 0; first < k; first += SIDE) {
    as[ty][tx] = row < m && first + tx < k ? a[(u64)row * k + first + tx] : 0;
    bs[ty][tx] = column < n && first + ty < k ? b[(u64)(first + ty) * n + column] : 0;
    __syncthreads();
    for (int i = 0; i < SIDE; i++) sum += as[ty][i] * bs[i][tx];
    __syncthreads();
  }
  if (row < m && column < n) c[(u64)row * n + column] = sum;
}

// c [m, n] = k - 2 popc(a ^ b) of a [m, words] and b [words, n], words of 32 bits.
extern "C" __global__ void __launch_bounds__(SIDE* SIDE)
    naive_xnor(const u32* __restrict__ a, const u32* __restrict__ b, float* __restrict__ c, int m, int n, int words,
               int k) {
  __shared__ u32 as[SIDE][SIDE], bs[SIDE][SIDE];
  int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE, column = blockIdx.x * SIDE + tx, row = blockIdx.y * SIDE + ty;
  int mismatches = 0;
  for (int first = 0; first < words; first += SIDE) {
    as[ty][tx] = row < m && first + tx < words ? a[(u64)row * words + first + tx] : 0;
    bs[ty][tx] = column < n && first + ty < words ? b[(u64)(first + ty) * n + column] : 0;
    __syncthreads();
    for (int i = 0; i < SIDE; i++) mismatches += __popc(as[ty][i] ^ bs[i][tx]);
    __syncthreads();
  }
  if (row < m && column < n) c[(u64)row * n + column] = (float)(k - 2 * mismatches);
}
