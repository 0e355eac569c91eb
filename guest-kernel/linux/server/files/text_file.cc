#include "guest-kernel/linux/server/files/text_file.h"

#include <asm/fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/linux/server/inspection.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constexpr std::size_t kFirstSize = 4096;

}  // namespace

Result<Reference<File>> TextNode::open(std::uint32_t flags, Process& opener) {
  if ((flags & O_ACCMODE) != O_RDONLY && taker_ == nullptr) {
    return fail(EACCES);
  }
  const Process* subject = subject_ == 0 ? nullptr : server().find_process(subject_);
  if (subject_ != 0 && subject == nullptr) {
    return fail(ESRCH);
  }
  if (is_private_ && subject != nullptr && !may_inspect(&opener, *subject)) {
    return fail(EACCES);
  }
  if (texts_share.is_scarce() && !opener.descriptors().is_small()) {
    return fail(ENFILE);
  }
  auto* file = new TextFile(*this, flags);
  if (file == nullptr) {
    return fail(ENOMEM);
  }
  const Reference<File> reference(file);
  const auto write = [&](guest::TextWriter& text) { generator_(text, subject); };
  return file->fill(kFirstSize, write) ? Result<Reference<File>>(reference) : fail(ENOMEM);
}

std::int64_t TextFile::read(Task& /*task*/, const UserBuffer& buffer, std::uint64_t offset) {
  const auto bytes = std::as_bytes(std::span(text_.begin(), text_.size()));
  return offset >= bytes.size() ? 0 : buffer.fill(bytes.subspan(offset));
}

Attributes TextNode::attributes(const Process* viewer) const {
  Attributes attributes = Node::attributes(viewer);
  if (subject_ != 0) {
    set_inspected_owner(attributes, viewer, subject_);
  }
  return attributes;
}

Result<void> TextNode::truncate(std::uint64_t /*size*/) {
  return taker_ != nullptr ? Result<void>() : fail(EACCES);
}

std::int64_t TextNode::take(std::string_view text) {
  Process* subject = subject_ == 0 ? nullptr : server().find_process(subject_);
  if (subject_ != 0 && subject == nullptr) {
    return -ESRCH;
  }
  return taker_ == nullptr ? -EINVAL : taker_(text, subject);
}

// All of what one call writes is one value.
std::int64_t TextFile::write(Task& /*task*/, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  std::array<char, 256> text;
  const std::uint64_t wanted = std::min<std::uint64_t>(buffer.size(), text.size());
  std::uint64_t size = 0;
  while (size < wanted) {
    const std::span<const std::byte> piece = buffer.piece(size, Access::kRead);
    if (piece.empty()) {
      return -EFAULT;
    }
    const std::uint64_t count = std::min<std::uint64_t>(piece.size(), wanted - size);
    std::memcpy(text.data() + size, piece.data(), count);
    size += count;
  }
  const std::int64_t error = text_node_.take({text.data(), size});
  return error != 0 ? error : static_cast<std::int64_t>(buffer.size());
}

std::int64_t TextFile::read_bytes(std::uint64_t offset, std::span<std::byte> to) {
  const auto bytes = std::as_bytes(std::span(text_.begin(), text_.size()));
  if (offset >= bytes.size()) {
    return 0;
  }
  const std::size_t count = std::min(to.size(), bytes.size() - offset);
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), count, to.begin());
  return static_cast<std::int64_t>(count);
}

}  // namespace linux_server
