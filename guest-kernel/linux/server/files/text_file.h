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
  // Takes what a program writes. Returns 0 or a negative errno.
  using Taker = std::int64_t (*)(std::string_view text, Process* subject);

  // `subject`: a process's number, 0: none. A file without a taker is read-only.
  TextNode(std::string_view name, Generator generator, std::uint32_t subject = 0,
           Taker taker = nullptr, std::uint32_t device = kProcDevice)
      : Node(name, kRegularFile | (taker != nullptr ? 0644 : 0444)),
        generator_(generator),
        taker_(taker),
        subject_(subject) {
    attributes_.device = device;
    attributes_.accessed = attributes_.modified = attributes_.changed = file_time();
  }

  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override;
  // Cutting it off is part of opening it for writing, and changes nothing.
  Result<void> truncate(std::uint64_t size) override;
  std::int64_t take(std::string_view text);
  void set_inode(std::uint64_t inode) { attributes_.inode = inode; }
  // Only who may look into the subject may open it.
  void set_private() { is_private_ = true; }
  Attributes attributes(const Process* viewer) const override;
  void set_permissions(std::uint32_t permissions) { attributes_.mode = kRegularFile | permissions; }

 private:
  Generator generator_;
  Taker taker_;
  std::uint32_t subject_;
  bool is_private_ = false;
};

class TextFile : public File {
 public:
  TextFile(TextNode& node, std::uint32_t flags) : File(node, flags), text_node_(node) {}
  ~TextFile() override { texts_share.give_back(text_.capacity()); }

  // Has `writer` write the text, of `first_size` bytes or more. False: no memory.
  template <typename Writer>
  bool fill(std::size_t first_size, const Writer& writer);
  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t read_bytes(std::uint64_t offset, std::span<std::byte> to) override;
  std::uint64_t size() const override { return text_.size(); }

 private:
  TextNode& text_node_;
  GrowingArray<char> text_;
};

template <typename Writer>
bool TextFile::fill(std::size_t first_size, const Writer& writer) {
  constexpr std::size_t kLargestSize = 1024 * 1024;
  for (std::size_t size = first_size;; size *= 4) {
    text_.reset();
    if (!texts_share.has(size) || !text_.resize(size)) {
      return false;
    }
    guest::TextWriter text(std::span(text_.begin(), size));
    writer(text);
    if (!text.cut() || size >= kLargestSize) {
      static_cast<void>(text_.resize(text.size()));
      texts_share.exchange(0, text_.capacity());
      return true;
    }
  }
}

}  // namespace linux_server
