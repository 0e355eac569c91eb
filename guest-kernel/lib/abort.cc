#include <cstdlib>

// Where code of ours and of the standard headers ends when it cannot go on: a fault that the
// domain's supervisor sees.
extern "C" {

[[noreturn]] void abort() {
  for (;;) {
    asm volatile("ud2");
  }
}

[[noreturn]] void __stack_chk_fail() {
  abort();
}
[[noreturn]] void __cxa_pure_virtual() {
  abort();
}
int __cxa_atexit(void (*)(void*), void*, void*) {
  return 0;
}
}

// What the standard headers call where they would throw.
namespace std {

[[noreturn]] void __throw_out_of_range_fmt(const char*, ...) {
  abort();
}
[[noreturn]] void __throw_out_of_range(const char*) {
  abort();
}
[[noreturn]] void __throw_length_error(const char*) {
  abort();
}
[[noreturn]] void __throw_logic_error(const char*) {
  abort();
}
[[noreturn]] void __throw_bad_optional_access() {
  abort();
}
[[noreturn]] void __throw_bad_function_call() {
  abort();
}

}  // namespace std
