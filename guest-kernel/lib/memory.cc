#include <cstddef>
#include <cstdint>

// The functions that the compiler and libfdt call. Ring 3 runs natively, so the string instructions
// are as quick as anything; no vector registers are used. They go by words, of which an emulated
// processor counts each.
extern "C" {

void* memcpy(void* to, const void* from, std::size_t size) {
  void* cursor = to;
  std::size_t words = size / sizeof(std::uint64_t);
  std::size_t rest = size % sizeof(std::uint64_t);
  if (words != 0) {
    asm volatile("rep movsq" : "+D"(cursor), "+S"(from), "+c"(words) : : "memory");
  }
  if (rest != 0) {
    asm volatile("rep movsb" : "+D"(cursor), "+S"(from), "+c"(rest) : : "memory");
  }
  return to;
}

void* memmove(void* to, const void* from, std::size_t size) {
  const auto distance =
      reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from);
  if (distance >= size) {
    return memcpy(to, from, size);
  }
  auto* target = static_cast<unsigned char*>(to);
  const auto* source = static_cast<const unsigned char*>(from);
  while (size >= sizeof(std::uint64_t) && distance >= sizeof(std::uint64_t)) {
    size -= sizeof(std::uint64_t);
    std::uint64_t word = 0;
    __builtin_memcpy(&word, source + size, sizeof(word));
    __builtin_memcpy(target + size, &word, sizeof(word));
  }
  while (size != 0) {
    --size;
    target[size] = source[size];
    asm volatile("" : : : "memory");
  }
  return to;
}

void* memset(void* to, int value, std::size_t size) {
  void* cursor = to;
  std::size_t words = size / sizeof(std::uint64_t);
  std::size_t rest = size % sizeof(std::uint64_t);
  const std::uint64_t pattern = static_cast<unsigned char>(value) * 0x0101'0101'0101'0101u;
  if (words != 0) {
    asm volatile("rep stosq" : "+D"(cursor), "+c"(words) : "a"(pattern) : "memory");
  }
  if (rest != 0) {
    asm volatile("rep stosb" : "+D"(cursor), "+c"(rest) : "a"(pattern) : "memory");
  }
  return to;
}

int memcmp(const void* left, const void* right, std::size_t size) {
  const auto* a = static_cast<const unsigned char*>(left);
  const auto* b = static_cast<const unsigned char*>(right);
  for (std::size_t i = 0; i < size; ++i) {
    if (a[i] != b[i]) {
      return a[i] < b[i] ? -1 : 1;
    }
  }
  return 0;
}

void* memchr(const void* where, int value, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(where);
  for (std::size_t i = 0; i < size; ++i) {
    if (bytes[i] == static_cast<unsigned char>(value)) {
      return const_cast<unsigned char*>(bytes + i);
    }
  }
  return nullptr;
}

std::size_t strlen(const char* text) {
  std::size_t size = 0;
  while (text[size] != '\0') {
    ++size;
    asm volatile("" : : : "memory");
  }
  return size;
}

std::size_t strnlen(const char* text, std::size_t limit) {
  std::size_t size = 0;
  while (size < limit && text[size] != '\0') {
    ++size;
  }
  return size;
}

char* strchr(const char* text, int value) {
  for (;; ++text) {
    if (*text == static_cast<char>(value)) {
      return const_cast<char*>(text);
    }
    if (*text == '\0') {
      return nullptr;
    }
  }
}

char* strrchr(const char* text, int value) {
  char* last = nullptr;
  for (;; ++text) {
    if (*text == static_cast<char>(value)) {
      last = const_cast<char*>(text);
    }
    if (*text == '\0') {
      return last;
    }
  }
}

int strcmp(const char* left, const char* right) {
  while (*left != '\0' && *left == *right) {
    ++left;
    ++right;
  }
  return static_cast<unsigned char>(*left) - static_cast<unsigned char>(*right);
}

// Decimal digits only, which is all that libfdt asks for (path components).
unsigned long strtoul(const char* text, char** end, int) {
  unsigned long value = 0;
  while (*text >= '0' && *text <= '9') {
    value = value * 10 + static_cast<unsigned long>(*text - '0');
    ++text;
  }
  if (end != nullptr) {
    *end = const_cast<char*>(text);
  }
  return value;
}
}
