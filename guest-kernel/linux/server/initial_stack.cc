#include "guest-kernel/linux/server/initial_stack.h"

#include <linux/auxvec.h>

#include <cstring>

namespace linux_server {
namespace {

// Writes downwards from the end of the memory; remembers if it ran out.
class DownwardWriter {
 public:
  DownwardWriter(std::span<std::byte> memory, std::uint64_t top)
      : memory_(memory), top_(top), left_(memory.size()) {}

  std::uint64_t address() const { return top_ - (memory_.size() - left_); }
  bool overflowed() const { return overflowed_; }

  std::uint64_t put(std::span<const std::byte> bytes) {
    if (bytes.size() > left_) {
      overflowed_ = true;
      return 0;
    }
    left_ -= bytes.size();
    if (!bytes.empty()) {
      std::memcpy(memory_.data() + left_, bytes.data(), bytes.size());
    }
    return address();
  }
  std::uint64_t put_text(std::string_view text) {
    constexpr std::byte kEnd = {};
    put({&kEnd, 1});
    return put(std::as_bytes(std::span(text)));
  }
  // Leaves room for `size` bytes so that they start at a multiple of 16.
  std::span<std::byte> reserve(std::uint64_t size) {
    const std::uint64_t start = (address() - size) & ~std::uint64_t{15};
    if (size > left_ || address() - start > left_) {
      overflowed_ = true;
      return {};
    }
    left_ -= address() - start;
    return memory_.subspan(left_, size);
  }

 private:
  std::span<std::byte> memory_;
  std::uint64_t top_;
  std::uint64_t left_;
  bool overflowed_ = false;
};

// Fills a reserved range with words.
class WordWriter {
 public:
  explicit WordWriter(std::span<std::byte> memory) : memory_(memory) {}

  void put(std::uint64_t word) {
    std::memcpy(memory_.data() + used_, &word, sizeof(word));
    used_ += sizeof(word);
  }
  void put_pointers(std::uint64_t address, const Arguments& words) {
    std::string_view rest = words.text;
    for (std::uint32_t index = 0; index < words.count; ++index) {
      put(address);
      const std::size_t size = rest.find('\0') + 1;
      address += size;
      rest.remove_prefix(size);
    }
    put(0);
  }
  std::uint64_t used() const { return used_; }

 private:
  std::span<std::byte> memory_;
  std::uint64_t used_ = 0;
};

}  // namespace

Result<InitialStack> build_initial_stack(std::span<std::byte> memory, std::uint64_t top,
                                         const Arguments& arguments, const Arguments& environment,
                                         std::string_view file,
                                         std::span<const std::byte, 16> random,
                                         std::span<const AuxiliaryValue> values) {
  DownwardWriter writer(memory, top);
  InitialStack stack;
  writer.put_text({});  // as Linux does, a null ends everything
  const std::uint64_t file_name = writer.put_text(file);
  stack.environment_end = writer.address();
  stack.environment_start = writer.put(std::as_bytes(std::span(environment.text)));
  stack.arguments_end = writer.address();
  stack.arguments_start = writer.put(std::as_bytes(std::span(arguments.text)));
  const std::uint64_t platform = writer.put_text("x86_64");
  const std::uint64_t random_bytes = writer.put(random);
  const std::uint64_t words =
      1 + arguments.count + 1 + environment.count + 1 + 2 * (values.size() + 4);
  const std::span<std::byte> reserved = writer.reserve(words * sizeof(std::uint64_t));
  if (writer.overflowed()) {
    return fail(E2BIG);
  }
  WordWriter table(reserved);
  stack.pointer = writer.address();
  table.put(arguments.count);
  table.put_pointers(stack.arguments_start, arguments);
  table.put_pointers(stack.environment_start, environment);
  stack.auxiliary_start = stack.pointer + table.used();
  for (const AuxiliaryValue& value : values) {
    table.put(value.type);
    table.put(value.value);
  }
  const AuxiliaryValue last[] = {
      {AT_RANDOM, random_bytes}, {AT_EXECFN, file_name}, {AT_PLATFORM, platform}, {AT_NULL, 0}};
  for (const AuxiliaryValue& value : last) {
    table.put(value.type);
    table.put(value.value);
  }
  stack.auxiliary_end = stack.pointer + table.used();
  return stack;
}

}  // namespace linux_server
