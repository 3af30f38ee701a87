// How wgmma finds an operand in shared memory.

// Shared-memory matrix descriptor, K-major with 128-byte swizzle: bits 0-13 address / 16, 16-29 leading offset
// (unused by this layout, 1), 32-45 stride between groups of eight rows / 16, 62-63 the swizzle. 256 bits of K
// further: address + 32.
__device__ __forceinline__ u64 descriptor(u32 address) {
  return (u64)((address & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}
