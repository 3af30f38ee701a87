// Max-pooling of signs: the OR of the words of every window. A thread computes one output word; x [batch, h, w, words].

extern "C" __global__ void __launch_bounds__(THREADS)
    max_pool(const u64* __restrict__ x, u64* __restrict__ out, u64 count, int h, int w, int words, int rows,
             int columns, int window_h, int window_w, int stride_h, int stride_w) {
  u64 index = (u64)blockIdx.x * THREADS + threadIdx.x;
  if (index >= count) return;
  u64 pixel = index / words;
  int column = pixel % columns, row = pixel / columns % rows;
  const u64* from = x + ((pixel / columns / rows * h + row * stride_h) * w + column * stride_w) * words + index % words;
  u64 any = 0;
  for (int i = 0; i < window_h; i++)
    for (int j = 0; j < window_w; j++) any |= from[((u64)i * w + j) * words];
  out[index] = any;
}
