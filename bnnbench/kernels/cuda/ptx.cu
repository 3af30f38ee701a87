// Instructions that CUDA C++ has no name for. Everything architecture-specific is in this file; the emulator of the
// tests (tests/kernels/cuda_emulator.h) replaces it by models of the same functions, so that the kernels run unchanged on
// a CPU.

#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) u8 name[]
#define WHOLE_WARP 0xffffffffu

__device__ __forceinline__ u32 shared_address(const void* pointer) { return (u32)__cvta_generic_to_shared(pointer); }

// 16 bytes from global to shared memory, asynchronously where the chip can; zeros where not `valid`.
__device__ __forceinline__ void copy16(u32 to, const uint4* from, bool valid) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
#else
  uint4 v = valid ? *from : make_uint4(0, 0, 0, 0);
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
#endif
}

__device__ __forceinline__ void copy_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most `PENDING` groups of this thread's copies are under way.
template <int PENDING>
__device__ __forceinline__ void copy_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

// Four 8x8 matrices of b16, here 8 rows of 128 bits each: lane l gives the address of row l % 8 of matrix l / 8 and
// gets bits 32 (l % 4)...+31 of row l / 4 of each matrix.
__device__ __forceinline__ void ldmatrix4(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

// d += a times b, counts of common ones: a 16 rows x 256 bits, b 8 columns x 256 bits. a[i]: row lane / 4 + 8 (i %
// 2), bits 128 (i / 2) + 32 (lane % 4)...+31; b[i]: column lane / 4, bits 128 i + 32 (lane % 4)...+31; d[r]: row lane
// / 4 + 8 (r / 2), column 2 (lane % 4) + r % 2.
__device__ __forceinline__ void mma_and(int* d, const u32 (&a)[4], const u32 (&b)[2]) {
  asm("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The same on bytes: a 16 x 32, b 32 x 8, with four bytes where `mma_and` has 32 bits.
__device__ __forceinline__ void mma_bytes(int* d, const u32 (&a)[4], const u32 (&b)[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Mismatches of 8 rows and 8 columns of 128 bits: a, b row, column lane / 4, d[r] as above.
__device__ __forceinline__ void mma_xor(int* d, u32 a, u32 b) {
  asm("mma.sync.aligned.m8n8k128.row.col.s32.b1.b1.s32.xor.popc {%0, %1}, {%2}, {%3}, {%0, %1};"
      : "+r"(d[0]), "+r"(d[1]) : "r"(a), "r"(b));
}

// (s & ~t) | (t & ~u), one instruction. Left to the compiler, what it knows of s, t and u makes it three.
__device__ __forceinline__ u32 carry(u32 s, u32 t, u32 u) {
  u32 found;
  asm("lop3.b32 %0, %1, %2, %3, 0x74;" : "=r"(found) : "r"(s), "r"(t), "r"(u));
  return found;
}

// Sum over the warp, for every lane.
__device__ __forceinline__ int warp_sum(int value) {
#if __CUDA_ARCH__ >= 800
  return __reduce_add_sync(WHOLE_WARP, value);
#else
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(WHOLE_WARP, value, step);
  return value;
#endif
}
