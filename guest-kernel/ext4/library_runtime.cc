#include "guest-kernel/ext4/library_runtime.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "guest-kernel/ext4/heap.h"
#include "guest-kernel/lib/system_call.h"

// The few functions of a C library that libext2fs.a calls, in freestanding form.
namespace ext4 {
namespace {

constinit Heap heap;
constinit std::int64_t current_time = 0;
constinit int error_value = 0;

// What the library's stack protector reads at %fs:0x28 (System V ABI, thread control block).
struct alignas(16) ThreadBlock {
  std::uint64_t words[6];
};
constinit ThreadBlock thread_block = {{0, 0, 0, 0, 0, 0x5e'17'a3'00'd2'4b'96'00}};

std::byte* element(void* base, std::size_t index, std::size_t size) {
  return static_cast<std::byte*>(base) + index * size;
}

void swap_elements(std::byte* left, std::byte* right, std::size_t size) {
  std::swap_ranges(left, left + size, right);
}

}  // namespace

void start_library(std::span<std::byte> memory) {
  heap = Heap(memory);
  static_cast<void>(
      guest::set_thread_bases(guest::kNoSlot, reinterpret_cast<std::uint64_t>(&thread_block), 0));
}

void set_library_time(std::int64_t now) {
  current_time = now;
}

}  // namespace ext4

extern "C" {

int* __errno_location() {
  return &ext4::error_value;
}

void* malloc(std::size_t size) {
  void* memory = ext4::heap.allocate(size);
  if (memory == nullptr) {
    ext4::error_value = ENOMEM;
  }
  return memory;
}
void free(void* memory) {
  ext4::heap.release(memory);
}
void* calloc(std::size_t count, std::size_t size) {
  if (size != 0 && count > ~std::size_t{0} / size) {
    return nullptr;
  }
  void* memory = malloc(count * size);
  return memory == nullptr ? nullptr : memset(memory, 0, count * size);
}
void* realloc(void* memory, std::size_t size) {
  void* larger = malloc(size);
  if (larger != nullptr && memory != nullptr) {
    memcpy(larger, memory, std::min(size, ext4::Heap::size_of(memory)));
    free(memory);
  }
  return larger;
}
int posix_memalign(void** memory, std::size_t /*alignment*/, std::size_t size) {
  // Alignment is for a kernel's direct I/O: nobody asks for that here.
  *memory = malloc(size);
  return *memory == nullptr ? ENOMEM : 0;
}

// Heap sort: no recursion, no worst case.
void qsort(void* base, std::size_t count, std::size_t size,
           int (*compare)(const void*, const void*)) {
  const auto sink = [&](std::size_t root, std::size_t end) {
    for (std::size_t child = 2 * root + 1; child < end; child = 2 * root + 1) {
      if (child + 1 < end &&
          compare(ext4::element(base, child, size), ext4::element(base, child + 1, size)) < 0) {
        ++child;
      }
      if (compare(ext4::element(base, root, size), ext4::element(base, child, size)) >= 0) {
        return;
      }
      ext4::swap_elements(ext4::element(base, root, size), ext4::element(base, child, size), size);
      root = child;
    }
  };
  for (std::size_t start = count / 2; start-- > 0;) {
    sink(start, count);
  }
  for (std::size_t end = count; end-- > 1;) {
    ext4::swap_elements(ext4::element(base, 0, size), ext4::element(base, end, size), size);
    sink(0, end);
  }
}

long time(long* to) {
  const long seconds = ext4::current_time / 1'000'000'000;
  if (to != nullptr) {
    *to = seconds;
  }
  return seconds;
}
int gettimeofday(long* to, void* /*zone*/) {
  to[0] = ext4::current_time / 1'000'000'000;
  to[1] = ext4::current_time % 1'000'000'000 / 1000;
  return 0;
}

int strncmp(const char* left, const char* right, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    if (left[i] != right[i] || left[i] == '\0') {
      return static_cast<unsigned char>(left[i]) - static_cast<unsigned char>(right[i]);
    }
  }
  return 0;
}
char* strncpy(char* to, const char* from, std::size_t size) {
  const std::size_t length = strnlen(from, size);
  memcpy(to, from, length);
  memset(to + length, 0, size - length);
  return to;
}
char* strcpy(char* to, const char* from) {
  memcpy(to, from, strlen(from) + 1);
  return to;
}
char* strcat(char* to, const char* from) {
  strcpy(to + strlen(to), from);
  return to;
}

void* __memcpy_chk(void* to, const void* from, std::size_t size, std::size_t room) {
  return size > room ? (abort(), to) : memcpy(to, from, size);
}
char* __strcpy_chk(char* to, const char* from, std::size_t room) {
  return strlen(from) >= room ? (abort(), to) : strcpy(to, from);
}
char* __strcat_chk(char* to, const char* from, std::size_t room) {
  return strlen(to) + strlen(from) >= room ? (abort(), to) : strcat(to, from);
}
char* __stpcpy_chk(char* to, const char* from, std::size_t room) {
  return __strcpy_chk(to, from, room) + strlen(from);
}

// Only names of hash seeds and the like come from it.
long random() {
  static std::uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<long>(state >> 33);
}

void* stderr = nullptr;

}  // extern "C"
