#pragma once

#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/growing_array.h"

namespace linux_server {

// A file whose text is made when it is opened. `subject`: the process whose /proc directory it is
// in; null elsewhere.
class TextNode : public Node {
 public:
  using Generator = void (*)(guest::TextWriter& text, const Process* subject);

  // `subject`: a process's number, 0: none.
  TextNode(std::string_view name, Generator generator, std::uint32_t subject = 0)
      : Node(name, kRegularFile | 0444), generator_(generator), subject_(subject) {
    attributes_.device = kVirtualDevice;
  }

  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override;

 private:
  Generator generator_;
  std::uint32_t subject_;
};

class TextFile : public File {
 public:
  using File::File;

  GrowingArray<char>& text() { return text_; }
  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::uint64_t size() const override { return text_.size(); }

 private:
  GrowingArray<char> text_;
};

}  // namespace linux_server
