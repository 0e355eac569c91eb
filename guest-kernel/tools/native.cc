#include "guest-kernel/tools/native.h"

#include <algorithm>
#include <cstring>

namespace native {
namespace {

std::uint64_t number(guest::NativeRequest request) {
  return static_cast<std::uint64_t>(request);
}

void write(std::uint64_t descriptor, std::uint64_t size) {
  guest::Message message{{number(guest::NativeRequest::kWrite), descriptor, size}};
  guest::call(guest::kNativeServer, message);
}

}  // namespace

void Output::text(std::string_view value) {
  auto* page = reinterpret_cast<char*>(start_->output);
  while (!value.empty()) {
    const std::size_t count = std::min<std::size_t>(value.size(), guest::kNativeOutputSize - used_);
    std::memcpy(page + used_, value.data(), count);
    used_ += count;
    value.remove_prefix(count);
    if (used_ == guest::kNativeOutputSize) {
      flush();
    }
  }
}

void Output::flush() {
  if (used_ != 0) {
    write(1, used_);
    used_ = 0;
  }
}

void exit(std::uint64_t code) {
  guest::Message message{{number(guest::NativeRequest::kExit), code}};
  guest::call(guest::kNativeServer, message);
  guest::exit_thread();
}

void fail(const guest::NativeStart& start, std::string_view program, std::string_view message,
          std::uint64_t code) {
  auto* page = reinterpret_cast<char*>(start.output);
  std::size_t size = 0;
  for (const std::string_view part :
       {program, std::string_view(": "), message, std::string_view("\n")}) {
    const std::size_t count = std::min<std::size_t>(part.size(), guest::kNativeOutputSize - size);
    std::memcpy(page + size, part.data(), count);
    size += count;
  }
  write(2, size);
  exit(code);
}

std::string_view argument(const guest::NativeStart& start, std::size_t index) {
  std::string_view rest(reinterpret_cast<const char*>(start.arguments), start.arguments_size);
  for (; index != 0 && !rest.empty(); --index) {
    const std::size_t end = rest.find('\0');
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return rest.substr(0, rest.find('\0'));
}

}  // namespace native
