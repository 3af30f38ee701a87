// The warp-group instructions of sm_90a: an asynchronous product whose operands stay in shared memory.

// Makes this thread's copies to shared memory visible to wgmma, which reads through another path (the async proxy).
__device__ __forceinline__ void publish_to_wgmma() { asm volatile("fence.proxy.async;" ::: "memory"); }

// Orders the accumulators' registers before the products that follow.
__device__ __forceinline__ void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until at most `PENDING` committed groups are under way.
template <int PENDING>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

#define R4(i) "+r"(c[i]), "+r"(c[i + 1]), "+r"(c[i + 2]), "+r"(c[i + 3])
#define R16(i) R4(i), R4(i + 4), R4(i + 8), R4(i + 12)
#define R128 R16(0), R16(16), R16(32), R16(48), R16(64), R16(80), R16(96), R16(112)

// c += popc(a & b): a 64 rows, b 256 rows of 256 bits in shared memory, named by descriptors. Warp w of the four
// holds rows 16 w...+15, laid out like the accumulators of mma.m16n8: c[4 j + r] is row lane / 4 + 8 (r / 2), column
// 8 j + 2 (lane % 4) + r % 2.
__device__ __forceinline__ void wgmma_64x256x256(int (&c)[128], u64 a, u64 b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n256k256.s32.b1.b1.and.popc {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, %128, %129, 1;"
      : R128 : "l"(a), "l"(b));
}

// Accumulators are first touched here, after the last wait; without this ptxas serialises the products (note C7514).
__device__ __forceinline__ void wgmma_end(int (&c)[128]) { asm volatile("" : R128 :: "memory"); }
