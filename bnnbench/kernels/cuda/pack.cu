// Packs rows of numbers: a warp turns 1024 neighbours into 32 words of 32 bits, with one ballot for each word;
// lane w keeps word w.
//
// Floating point (RAW: the unsigned type of its width, INFINITY_BITS): bit = (x >= 0), from the bits of x, so that
// half and bfloat16 need no type of their own: sign clear or zero, and not above infinity, which is NaN. BYTES8:
// unsigned 8-bit integers become eight planes of bits, the most significant first.

#ifdef BYTES8
#define RAW u8
#define PLANES 8
__device__ __forceinline__ bool bit_of(u8 x, int p) { return x >> (7 - p) & 1; }
__device__ __forceinline__ bool is_nan(u8) { return false; }
#else
#define PLANES 1
#define SIGN ((RAW)1 << (8 * sizeof(RAW) - 1))
__device__ __forceinline__ bool is_nan(RAW x) { return (x & (RAW)~SIGN) > (RAW)INFINITY_BITS; }
__device__ __forceinline__ bool bit_of(RAW x, int) { return !is_nan(x) && (!(x & SIGN) || !(x & (RAW)~SIGN)); }
#endif

// x [rows, k] -> out [PLANES, rows, words]; words counts 32 bits and is a multiple of 4. A NaN sets *nan.
extern "C" __global__ void __launch_bounds__(THREADS)
    pack(const RAW* __restrict__ x, u32* __restrict__ out, int* __restrict__ nan, int rows, int k, int words) {
  int segments = (words + 31) / 32, lane = threadIdx.x % 32;
  u64 index = (u64)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
  int row = index / segments, first = index % segments * 32;
  if (row >= rows) return;
  const RAW* from = x + (u64)row * k;
  u32 mine[PLANES] = {};
  bool seen = false;
#pragma unroll 8
  for (int w = 0; w < 32; w++) {
    int at = (first + w) * 32 + lane;
    bool inside = at < k;
    RAW value = inside ? from[at] : (RAW)0;
    seen |= is_nan(value);
#pragma unroll
    for (int p = 0; p < PLANES; p++) {
      u32 word = __ballot_sync(WHOLE_WARP, inside && bit_of(value, p));
      if (lane == w) mine[p] = word;
    }
  }
  if (seen) *nan = 1;
  if (first + lane < words)
#pragma unroll
    for (int p = 0; p < PLANES; p++) out[((u64)p * rows + row) * words + first + lane] = mine[p];
}
