// A CPU that runs one block of a CUDA kernel after the other, for tests without a GPU: every thread a coroutine,
// models of the instructions of ptx.cu and ptx_wgmma.cu from the tables of the PTX manual, and memory as unkind as it
// may be: asynchronous copies and products happen as late as they may or at once (bits 0 and 1 of `late`), threads
// run in random order, shared memory starts poisoned, and an address outside of it stops the run.

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static
#define __popc __builtin_popcount
#define min(a, b) std::min<int>(a, b)
#define __syncthreads() emulator::barrier()
#define __syncwarp() emulator::together<int>(0, [](int*) {})
#define WHOLE_WARP 0xffffffffu
#define DYNAMIC_SHARED(name) unsigned char* name = emulator::shared + 128

struct __align__(16) uint4 {
  unsigned x, y, z, w;
};
struct uint3 {
  unsigned x, y, z;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint3 threadIdx, blockIdx;

namespace emulator {

alignas(1024) inline unsigned char shared[256 * 1024];
inline unsigned shared_bytes;
inline int late;  // bit 0: copies, bit 1: products of wgmma
inline std::mt19937 random;

struct Copy {
  unsigned to;
  uint4 value;
};
struct Thread {
  ucontext_t start;
  jmp_buf at;
  bool started = false, done = false;
  std::vector<std::vector<Copy>> groups{1};  // the last one is open
  std::vector<Copy> arrived;                 // in shared memory, but not for wgmma
  void* argument = nullptr;
};
struct Group {  // threads that do something together: a warp, a warp group, the block
  int waiting = 0, size = 0;
  unsigned generation = 0;
};

inline std::vector<Thread> threads;
inline std::vector<Group> warps, warp_groups;
inline Group block;
inline int current, alive;
inline jmp_buf scheduler;
inline std::function<void()> body;

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "emulator: %s (thread %d, block %u)\n", what, current, blockIdx.x);
  std::abort();
}

inline void yield() {
  if (!_setjmp(threads[current].at)) _longjmp(scheduler, 1);
}

// Waits for the others of the group; the last one does `last` first.
inline void meet(Group& group, const std::function<void()>& last) {
  unsigned generation = group.generation;
  if (++group.waiting == group.size) {
    last();
    group.waiting = 0;
    group.generation++;
  }
  while (group.generation == generation) yield();
}

inline void barrier() {
  block.size = alive;
  meet(block, [] {});
}

// All lanes of a warp give `mine`; `work` sees and may change the 32 values, and each lane gets its own back.
template <class T>
T together(T mine, const std::function<void(T*)>& work) {
  int first = current / 32 * 32;
  threads[current].argument = &mine;
  meet(warps[current / 32], [&] {
    T all[32];
    for (int i = 0; i < 32; i++) all[i] = *(T*)threads[first + i].argument;
    work(all);
    for (int i = 0; i < 32; i++) *(T*)threads[first + i].argument = all[i];
  });
  return mine;
}

inline unsigned char* at(unsigned address, unsigned bytes) {
  if (address % bytes || address < 128 || address + bytes > 128 + shared_bytes) fail("shared memory address");
  return shared + address;
}

inline void apply(std::vector<Copy>& copies) {
  for (Copy& copy : copies) std::memcpy(at(copy.to, 16), &copy.value, 16);
  copies.clear();
}

inline void run_thread() {
  body();
  threads[current].done = true;
  alive--;
  block.size = alive;
  if (alive > 0 && block.waiting == alive) block.waiting = 0, block.generation++;
  _longjmp(scheduler, 1);
}

inline void run_block(int count) {
  static std::vector<std::vector<char>> stacks;
  while ((int)stacks.size() < count) stacks.emplace_back(256 * 1024);
  threads.assign(count, Thread());
  warps.assign((count + 31) / 32, Group());
  warp_groups.assign((count + 127) / 128, Group());
  for (Group& warp : warps) warp.size = 32;
  for (Group& group : warp_groups) group.size = 128;
  block = Group();
  alive = count;
  std::memset(shared, 0xa5, sizeof shared);
  std::vector<int> order(count);
  for (int i = 0; i < count; i++) order[i] = i;
  while (alive > 0) {
    std::shuffle(order.begin(), order.end(), random);
    for (int next : order) {
      Thread& thread = threads[next];
      if (thread.done) continue;
      current = next;
      threadIdx = {(unsigned)next, 0, 0};
      if (_setjmp(scheduler)) continue;
      if (thread.started) _longjmp(thread.at, 1);
      thread.started = true;
      getcontext(&thread.start);
      thread.start.uc_stack.ss_sp = stacks[next].data();
      thread.start.uc_stack.ss_size = stacks[next].size();
      makecontext(&thread.start, run_thread, 0);
      setcontext(&thread.start);
    }
  }
}

template <class... Parameters, size_t... I>
void call(void (*kernel)(Parameters...), void** arguments, std::index_sequence<I...>) {
  body = [=] { kernel(*(std::remove_reference_t<Parameters>*)arguments[I]...); };
}

template <class... Parameters>
void run(void (*kernel)(Parameters...), unsigned gx, unsigned gy, int count, unsigned bytes, int when, unsigned seed,
         void** arguments) {
  late = when, shared_bytes = bytes;
  random.seed(seed);
  call(kernel, arguments, std::index_sequence_for<Parameters...>());
  for (unsigned y = 0; y < gy; y++)
    for (unsigned x = 0; x < gx; x++) {
      blockIdx = {x, y, 0};
      run_block(count);
    }
}

}  // namespace emulator

// Models of the functions of ptx.cu.

inline unsigned shared_address(const void* pointer) {
  return (unsigned)((const unsigned char*)pointer - emulator::shared);
}

inline void copy16(unsigned to, const uint4* from, bool valid) {
  emulator::Thread& thread = emulator::threads[emulator::current];
  uint4 value = valid ? *from : make_uint4(0, 0, 0, 0);
#ifdef SYNCHRONOUS
  std::memcpy(emulator::at(to, 16), &value, 16);
#else
  thread.groups.back().push_back({to, value});
  if (!(emulator::late & 1)) emulator::apply(thread.groups.back());
#endif
}

inline void copy_commit() { emulator::threads[emulator::current].groups.emplace_back(); }

template <int PENDING>
void copy_wait() {
  emulator::Thread& thread = emulator::threads[emulator::current];
  while ((int)thread.groups.size() - 1 > PENDING) {
#ifdef WGMMA
    for (auto& copy : thread.groups.front()) thread.arrived.push_back(copy);
#else
    emulator::apply(thread.groups.front());
#endif
    thread.groups.erase(thread.groups.begin());
  }
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulator::together<T>(value, [=](T* all) {
    T old[32];
    std::memcpy(old, all, sizeof old);
    for (int i = 0; i < 32; i++) all[i] = old[i ^ mask];
  });
}

inline unsigned __ballot_sync(unsigned, bool value) {
  return emulator::together<unsigned>(value, [](unsigned* all) {
    unsigned mask = 0;
    for (int i = 0; i < 32; i++) mask |= all[i] << i;
    for (int i = 0; i < 32; i++) all[i] = mask;
  });
}

// The function of three bits that the truth table 0x74 names.
inline unsigned carry(unsigned s, unsigned t, unsigned u) {
  unsigned found = 0;
  for (int bit = 0; bit < 32; bit++)
    found |= (0x74u >> ((s >> bit & 1) * 4 + (t >> bit & 1) * 2 + (u >> bit & 1)) & 1) << bit;
  return found;
}

inline int warp_sum(int value) {
  return emulator::together<int>(value, [](int* all) {
    int sum = 0;
    for (int i = 0; i < 32; i++) sum += all[i];
    for (int i = 0; i < 32; i++) all[i] = sum;
  });
}

struct Words4 {
  unsigned r[4];
};

inline void ldmatrix4(unsigned (&r)[4], unsigned address) {
  Words4 got = emulator::together<Words4>({{address}}, [](Words4* all) {
    Words4 out[32];
    for (int lane = 0; lane < 32; lane++)
      for (int i = 0; i < 4; i++)
        std::memcpy(&out[lane].r[i], emulator::at(all[8 * i + lane / 4].r[0], 16) + 4 * (lane % 4), 4);
    std::memcpy(all, out, sizeof out);
  });
  std::memcpy(r, got.r, sizeof got.r);
}

struct Mma {
  unsigned a[4], b[2];
  int d[4];
};

// Rows and columns of 16 x 8 fragments; `count` of the parts with the same bits (or bytes) of K.
template <class Count>
void mma_16x8(int* d, const unsigned (&a)[4], const unsigned (&b)[2], Count count) {
  Mma mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
  mine = emulator::together<Mma>(mine, [=](Mma* all) {
    for (int lane = 0; lane < 32; lane++)
      for (int r = 0; r < 4; r++) {
        int row = lane / 4 + r / 2 * 8, column = 2 * (lane % 4) + r % 2;
        for (int half = 0; half < 2; half++)  // of K
          for (int quad = 0; quad < 4; quad++)
            all[lane].d[r] += count(all[row % 8 * 4 + quad].a[row / 8 + 2 * half], all[column * 4 + quad].b[half]);
      }
  });
  std::memcpy(d, mine.d, sizeof mine.d);
}

inline void mma_and(int* d, const unsigned (&a)[4], const unsigned (&b)[2]) {
  mma_16x8(d, a, b, [](unsigned x, unsigned y) { return __popc(x & y); });
}

inline void mma_bytes(int* d, const unsigned (&a)[4], const unsigned (&b)[2]) {
  mma_16x8(d, a, b, [](unsigned x, unsigned y) {
    int sum = 0;
    for (int i = 0; i < 32; i += 8) sum += (int)(signed char)(x >> i) * (signed char)(y >> i);
    return sum;
  });
}

inline void mma_xor(int* d, unsigned a, unsigned b) {
  Mma mine{{a}, {b}, {d[0], d[1]}};
  mine = emulator::together<Mma>(mine, [](Mma* all) {
    for (int lane = 0; lane < 32; lane++)
      for (int r = 0; r < 2; r++)
        for (int part = 0; part < 4; part++)
          all[lane].d[r] += __popc(all[lane / 4 * 4 + part].a[0] ^ all[(2 * (lane % 4) + r) * 4 + part].b[0]);
  });
  d[0] = mine.d[0], d[1] = mine.d[1];
}

#ifdef WGMMA
// Models of the functions of ptx_wgmma.cu.

struct Product {
  unsigned long long a, b;
  int* d[128];
};
inline std::vector<std::vector<Product>> products[8];  // of each warp group: committed groups, the last one open
inline int arguments_seen[8];

inline void publish_to_wgmma() { emulator::apply(emulator::threads[emulator::current].arrived); }

inline void wgmma_begin() {}

// 32 bytes of row `row` of a K-major matrix with 128-byte swizzle: bits 4-6 of the address change by bits 7-9.
inline void matrix_row(unsigned long long descriptor, int row, unsigned (&words)[8]) {
  if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0) emulator::fail("descriptor: not the 128-byte swizzle");
  unsigned start = (descriptor & 0x3fff) << 4, stride = (descriptor >> 32 & 0x3fff) << 4;
  for (int half = 0; half < 2; half++) {
    unsigned address = start + row / 8 * stride + row % 8 * 128 + 16 * half;
    std::memcpy(words + 4 * half, emulator::at(address ^ (address >> 7 & 7) << 4, 16), 16);
  }
}

inline void multiply(const Product& product) {
  unsigned a[64][8], b[256][8];
  for (int i = 0; i < 64; i++) matrix_row(product.a, i, a[i]);
  for (int i = 0; i < 256; i++) matrix_row(product.b, i, b[i]);
  for (int thread = 0; thread < 128; thread++)
    for (int i = 0; i < 128; i++) {
      int row = thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
      for (int k = 0; k < 8; k++) product.d[thread][i] += __popc(a[row][k] & b[column][k]);
    }
}

inline void wgmma_64x256x256(int (&c)[128], unsigned long long a, unsigned long long b) {
  int group = emulator::current / 128, first = group * 128;
  emulator::threads[emulator::current].argument = c;
  emulator::meet(emulator::warp_groups[group], [&] {
    Product product{a, b, {}};
    for (int i = 0; i < 128; i++) product.d[i] = (int*)emulator::threads[first + i].argument;
    if (products[group].empty()) products[group].emplace_back();
    products[group].back().push_back(product);
    if (!(emulator::late & 2)) multiply(product);
  });
}

inline void wgmma_commit() {
  int group = emulator::current / 128;
  emulator::meet(emulator::warp_groups[group], [&] { products[group].emplace_back(); });
}

template <int PENDING>
void wgmma_wait() {
  int group = emulator::current / 128;
  emulator::meet(emulator::warp_groups[group], [&] {
    auto& queue = products[group];
    while ((int)queue.size() - 1 > PENDING) {
      if (emulator::late & 2)
        for (const Product& product : queue.front()) multiply(product);
      queue.erase(queue.begin());
    }
  });
}

inline void wgmma_end(int (&)[128]) {}
#endif
