#pragma once

#include <cstdint>
#include <string_view>

#include "guest-kernel/lib/json_writer.h"
#include "guest-kernel/lib/native_program.h"

// What a native program of ours needs to run under the Linux server.
namespace native {

// Output to descriptor 1, gathered into pages.
class Output {
 public:
  explicit Output(const guest::NativeStart& start) : start_(&start) {}

  void text(std::string_view value);
  void flush();
  // Writes here.
  guest::JsonWriter json() { return {&sink, this}; }

 private:
  static void sink(void* context, std::string_view value) {
    static_cast<Output*>(context)->text(value);
  }

  const guest::NativeStart* start_;
  std::size_t used_ = 0;
};

// A line on descriptor 2, then the end.
[[noreturn]] void fail(const guest::NativeStart& start, std::string_view program,
                       std::string_view message, std::uint64_t code = 1);
[[noreturn]] void exit(std::uint64_t code);

// The `index`-th argument; empty if there are fewer.
std::string_view argument(const guest::NativeStart& start, std::size_t index);

}  // namespace native

// Defines the ELF note that makes the executable a native program.
#define NATIVE_PROGRAM(memory_pages, slots, kernel_pages, stack_pages)      \
  extern const struct {                                                     \
    std::uint32_t name_size, description_size, type;                        \
    char name[12];                                                          \
    guest::NativeNote description;                                          \
  } native_program_note;                                                    \
  [[gnu::used, gnu::section(".note.ensemble"),                              \
    gnu::aligned(4)]] decltype(native_program_note) native_program_note = { \
      sizeof(guest::kNativeNoteOwner),                                      \
      sizeof(guest::NativeNote),                                            \
      guest::kNativeNoteType,                                               \
      "Ensemble",                                                           \
      {1, 0, memory_pages, slots, kernel_pages, stack_pages}}
