#include "device-model/device_tree_writer.h"

#include <libfdt.h>

namespace ensemble::device {
namespace {

constexpr std::size_t kFirstSize = 16 * 1024;
constexpr std::size_t kMaximumSize = 4 * 1024 * 1024;

// Device trees are big-endian.
void append_big_endian(std::vector<std::byte>& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::byte>(value >> shift));
  }
}

void append_string(std::vector<std::byte>& bytes, std::string_view value) {
  for (const char character : value) {
    bytes.push_back(static_cast<std::byte>(character));
  }
  bytes.push_back(std::byte{0});
}

}  // namespace

DeviceTreeWriter::DeviceTreeWriter() : buffer_(kFirstSize) {
  error_ = fdt_create(buffer_.data(), static_cast<int>(buffer_.size()));
  run([this] { return fdt_finish_reservemap(buffer_.data()); });
  begin("");
}

// Calls `operation`, and again with a larger buffer while libfdt lacks space.
template <typename Operation>
void DeviceTreeWriter::run(Operation&& operation) {
  while (error_ == 0) {
    const int result = operation();
    if (result != -FDT_ERR_NOSPACE || buffer_.size() >= kMaximumSize) {
      error_ = result;
      return;
    }
    std::vector<std::byte> larger(buffer_.size() * 2);
    error_ = fdt_resize(buffer_.data(), larger.data(), static_cast<int>(larger.size()));
    buffer_ = std::move(larger);
  }
}

void DeviceTreeWriter::begin(const std::string& name) {
  ++depth_;
  run([&] { return fdt_begin_node(buffer_.data(), name.c_str()); });
}

void DeviceTreeWriter::end() {
  run([this] { return depth_-- > 0 ? fdt_end_node(buffer_.data()) : -FDT_ERR_BADSTRUCTURE; });
}

void DeviceTreeWriter::property(const char* name, std::span<const std::byte> value) {
  if (value.size() > kMaximumSize) {
    error_ = error_ == 0 ? -FDT_ERR_NOSPACE : error_;
    return;
  }
  run([&] {
    return fdt_property(buffer_.data(), name, value.data(), static_cast<int>(value.size()));
  });
}

void DeviceTreeWriter::flag(const char* name) {
  property(name, {});
}

void DeviceTreeWriter::cells(const char* name, std::span<const std::uint32_t> values) {
  std::vector<std::byte> bytes;
  for (const std::uint32_t value : values) {
    append_big_endian(bytes, value);
  }
  property(name, bytes);
}

void DeviceTreeWriter::cells(const char* name, std::initializer_list<std::uint32_t> values) {
  cells(name, std::span(values.begin(), values.size()));
}

void DeviceTreeWriter::cell64(const char* name, std::uint64_t value) {
  cells(name, {static_cast<std::uint32_t>(value >> 32), static_cast<std::uint32_t>(value)});
}

void DeviceTreeWriter::string(const char* name, std::string_view value) {
  strings(name, {value});
}

void DeviceTreeWriter::strings(const char* name, std::span<const std::string> values) {
  std::vector<std::byte> bytes;
  for (const std::string& value : values) {
    append_string(bytes, value);
  }
  property(name, bytes);
}

void DeviceTreeWriter::strings(const char* name, std::initializer_list<std::string_view> values) {
  const std::vector<std::string> copies(values.begin(), values.end());
  strings(name, copies);
}

Result<std::vector<std::byte>> DeviceTreeWriter::finish() {
  end();
  run([this] { return fdt_finish(buffer_.data()); });
  if (error_ == -FDT_ERR_NOSPACE) {
    return fail("cannot write the manifest: it is larger than {} MiB", kMaximumSize >> 20);
  }
  if (error_ != 0) {
    return fail("cannot write the manifest: {}", fdt_strerror(error_));
  }
  buffer_.resize(fdt_totalsize(buffer_.data()));
  return std::move(buffer_);
}

}  // namespace ensemble::device
