// Ones of every row (window) of the left operand, planes doubled: the AND form needs them beside its products.
// A warp counts one row.

extern "C" __global__ void __launch_bounds__(THREADS)
    ones(const uint4* __restrict__ left, int* __restrict__ out, int m, int chunks, int planes, u64 plane, int positions,
         int width, int image, int down, int right_step, int span, int jump) {
  int row = blockIdx.x * (THREADS / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= m) return;
  int total = 0;
  for (int i = 0; i < planes; i++) {
    const uint4* from = left + i * plane + origin(row, positions, width, image, down, right_step);
    total *= 2;
    for (int chunk = lane; chunk < chunks; chunk += 32) {
      uint4 x = from[place(chunk, span, jump)];
      total += __popc(x.x) + __popc(x.y) + __popc(x.z) + __popc(x.w);
    }
  }
  total = warp_sum(total);
  if (lane == 0) out[row] = total;
}
