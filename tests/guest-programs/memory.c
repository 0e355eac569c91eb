#define _GNU_SOURCE
#include <setjmp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

// mmap, munmap, mprotect, mremap, madvise, brk.

static const size_t kPage = 4096;

static int is_zero(const unsigned char* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != 0) {
      return 0;
    }
  }
  return 1;
}

static void test_anonymous(size_t size) {
  unsigned char* map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(map != MAP_FAILED);
  CHECK(((uintptr_t)map & (kPage - 1)) == 0);
  CHECK(is_zero(map, size));
  memset(map, 0xa5, size);
  CHECK(map[0] == 0xa5 && map[size - 1] == 0xa5);
  CHECK(munmap(map, size) == 0);
  // Memory that comes back is zero again.
  unsigned char* again =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(again != MAP_FAILED);
  CHECK(is_zero(again, size));
  CHECK(munmap(again, size) == 0);
}

static void test_fixed(void) {
  unsigned char* map =
      mmap(NULL, 8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(map, 1, 8 * kPage);
  unsigned char* middle = mmap(map + 2 * kPage, 2 * kPage, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK(middle == map + 2 * kPage);
  CHECK(is_zero(middle, 2 * kPage));
  CHECK(map[2 * kPage - 1] == 1 && map[4 * kPage] == 1);
  CHECK(mmap(map, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
            MAP_FAILED &&
        errno == EEXIST);
  // A hole in the middle leaves both sides.
  CHECK(munmap(map + 3 * kPage, kPage) == 0);
  CHECK(map[2 * kPage] == 0 && map[5 * kPage] == 1);
  CHECK(munmap(map, 8 * kPage) == 0);
}

static void test_protection(void) {
  unsigned char* map = mmap(NULL, 4 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(map != MAP_FAILED);
  CHECK(mprotect(map + kPage, 2 * kPage, PROT_READ | PROT_WRITE) == 0);
  map[kPage] = 7;
  map[3 * kPage - 1] = 8;
  CHECK(mprotect(map + kPage, kPage, PROT_READ) == 0);
  CHECK(map[kPage] == 7);
  CHECK(mprotect(map + kPage, kPage, PROT_NONE) == 0);
  CHECK(mprotect(map + kPage, kPage, PROT_READ | PROT_WRITE) == 0);
  CHECK(map[kPage] == 7 && map[3 * kPage - 1] == 8);
  CHECK_ERROR(mprotect(map + 1, kPage, PROT_READ), EINVAL);
  CHECK(munmap(map, 4 * kPage) == 0);
  CHECK_ERROR(mprotect(map, kPage, PROT_READ), ENOMEM);
  // Code that is written, then executed.
  static const unsigned char kCode[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov $42, %eax; ret
  unsigned char* code =
      mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(code, kCode, sizeof(kCode));
  CHECK(mprotect(code, kPage, PROT_READ | PROT_EXEC) == 0);
  CHECK(((int (*)(void))(void*)code)() == 42);
  munmap(code, kPage);
}

static void test_remap(void) {
  unsigned char* map =
      mmap(NULL, 3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(map, 0x11, 3 * kPage);
  unsigned char* blocker =
      mmap(map + 3 * kPage, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  unsigned char* moved = mremap(map, 3 * kPage, 600 * kPage, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  CHECK(moved[0] == 0x11 && moved[3 * kPage - 1] == 0x11);
  CHECK(is_zero(moved + 3 * kPage, 597 * kPage));
  moved[600 * kPage - 1] = 9;
  unsigned char* shrunk = mremap(moved, 600 * kPage, 2 * kPage, 0);
  CHECK(shrunk == moved && shrunk[kPage] == 0x11);
  CHECK_ERROR(mremap(moved + 1, kPage, kPage, 0), EINVAL);
  CHECK_ERROR(mremap((void*)0x10000000, kPage, 2 * kPage, MREMAP_MAYMOVE), EFAULT);
  munmap(moved, 2 * kPage);
  munmap(blocker, kPage);
}

static void test_discard(void) {
  unsigned char* map =
      mmap(NULL, 64 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(map, 3, 64 * kPage);
  CHECK(madvise(map + kPage, 2 * kPage, MADV_DONTNEED) == 0);
  CHECK(map[0] == 3 && map[3 * kPage] == 3);
  CHECK(is_zero(map + kPage, 2 * kPage));
  CHECK(madvise(map, 64 * kPage, MADV_WILLNEED) == 0);
  CHECK_ERROR(madvise(map, kPage, 12345), EINVAL);
  munmap(map, 64 * kPage);
}

static void test_break(void) {
  unsigned char* start = sbrk(0);
  CHECK(sbrk(3 * (intptr_t)kPage) == start);
  CHECK(is_zero(start, 3 * kPage));
  memset(start, 0x77, 3 * kPage);
  CHECK(sbrk(-2 * (intptr_t)kPage) != (void*)-1);
  CHECK(sbrk(2 * (intptr_t)kPage) != (void*)-1);
  CHECK(start[0] == 0x77);
  CHECK(is_zero(start + kPage, 2 * kPage));
  // Over several large pages and back.
  CHECK(sbrk(9 << 20) != (void*)-1);
  start[(9 << 20) - 1] = 1;
  CHECK(sbrk(-(9 << 20)) != (void*)-1);
  CHECK(sbrk((intptr_t)1 << 46) == (void*)-1);
  CHECK(brk(start) == 0);
  CHECK(sbrk(0) == start);
}

static void test_limits(void) {
  CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
        errno == EINVAL);
  CHECK(mmap(NULL, (size_t)-1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
        errno == ENOMEM);
  CHECK(mmap(NULL, (size_t)1 << 46, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
            MAP_FAILED &&
        errno == ENOMEM);
  CHECK(mmap(NULL, kPage, PROT_READ, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
  CHECK(mmap(NULL, kPage, PROT_READ, MAP_PRIVATE, 99, 0) == MAP_FAILED && errno == EBADF);
  CHECK(mmap((void*)0x3ffff0000000, kPage, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
  CHECK(mmap((void*)0x400000000000, kPage, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
  CHECK_ERROR(munmap((void*)0x1001, kPage), EINVAL);
  CHECK_ERROR(munmap((void*)0x3ffffffff000, kPage), EINVAL);
  // Address space without memory is cheap.
  void* huge =
      mmap(NULL, (size_t)1 << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(huge != MAP_FAILED);
  CHECK(munmap(huge, (size_t)1 << 40) == 0);
}

static void test_allocator(void) {
  enum { kCount = 200 };
  static unsigned char* blocks[kCount];
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kCount; ++i) {
      const size_t size = (size_t)(i * 977 % 50000 + 1);
      blocks[i] = malloc(size);
      CHECK(blocks[i] != NULL);
      memset(blocks[i], i, size);
    }
    for (int i = 0; i < kCount; ++i) {
      CHECK(blocks[i][0] == (unsigned char)i);
      free(blocks[i]);
    }
  }
}

static int recurse(int depth) {
  volatile char frame[4096];
  frame[0] = (char)depth;
  frame[4095] = 1;
  return depth == 0 ? frame[4095] : recurse(depth - 1) + frame[4095];
}

int main(void) {
  test_anonymous(kPage);
  test_anonymous(100 * kPage);
  test_anonymous(5 << 20);
  test_fixed();
  test_protection();
  test_remap();
  test_discard();
  test_break();
  test_limits();
  test_allocator();
  CHECK(recurse(1500) == 1501);  // 6 MiB of stack
  return finish();
}
