#include "guest-kernel/linux/server/files/text_file.h"

#include <asm/fcntl.h>

#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constexpr std::size_t kFirstSize = 4096;
constexpr std::size_t kLargestSize = 1024 * 1024;

}  // namespace

Result<Reference<File>> TextNode::open(std::uint32_t flags, Process& /*opener*/) {
  if ((flags & O_ACCMODE) != O_RDONLY) {
    return fail(EACCES);
  }
  const Process* subject = subject_ == 0 ? nullptr : server().find_process(subject_);
  if (subject_ != 0 && subject == nullptr) {
    return fail(ESRCH);
  }
  auto* file = new TextFile(*this, flags);
  if (file == nullptr) {
    return fail(ENOMEM);
  }
  const Reference<File> reference(file);
  for (std::size_t size = kFirstSize;; size *= 4) {
    if (!file->text().resize(size)) {
      return fail(ENOMEM);
    }
    guest::TextWriter text(std::span(file->text().begin(), size));
    generator_(text, subject);
    if (!text.cut() || size >= kLargestSize) {
      static_cast<void>(file->text().resize(text.size()));
      return reference;
    }
  }
}

std::int64_t TextFile::read(Task& /*task*/, const UserBuffer& buffer, std::uint64_t offset) {
  const auto bytes = std::as_bytes(std::span(text_.begin(), text_.size()));
  return offset >= bytes.size() ? 0 : buffer.fill(bytes.subspan(offset));
}

}  // namespace linux_server
