#include "guest-kernel/linux/server/files/attribute_node.h"

#include <asm/fcntl.h>

#include <algorithm>
#include <array>
#include <new>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/files/virtual_directory.h"
#include "guest-kernel/linux/server/growing_array.h"
#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {
namespace {

// How long a read waits for the driver, which itself gives up long before.
constexpr std::uint64_t kTimeLimit = 5'000'000'000;  // ns

// An open attribute: each read from its start asks anew.
class AttributeFile : public File, private ChipQuestion {
 public:
  AttributeFile(AttributeNode& node, std::uint32_t flags) : File(node, flags), attribute_(node) {}
  ~AttributeFile() override {
    attribute_.chip().withdraw(*this);
    texts_share.give_back(text_.capacity());
  }

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::uint64_t size() const override { return attribute_.size(); }
  bool set_text(std::string_view text, std::string_view end);

 private:
  void answered(int error, std::string_view text) override;

  AttributeNode& attribute_;
  GrowingArray<char> text_;
  bool has_text_ = false;
  bool is_waiting_ = false;  // for the driver
  int error_ = 0;            // of the last answer
  WaitQueue answers_;
};

bool AttributeFile::set_text(std::string_view text, std::string_view end) {
  const std::size_t size = text.size() + end.size();
  const std::size_t before = text_.capacity();
  has_text_ = (size <= before || texts_share.has(size)) && text_.resize(size);
  texts_share.exchange(before, text_.capacity());
  if (has_text_) {
    std::copy(text.begin(), text.end(), text_.begin());
    std::copy(end.begin(), end.end(), text_.begin() + text.size());
  }
  return has_text_;
}

void AttributeFile::answered(int error, std::string_view text) {
  is_waiting_ = false;
  error_ = error != 0 ? error : set_text(text, {}) ? 0 : ENOMEM;
  answers_.wake();
}

std::int64_t AttributeFile::read(Task& task, const UserBuffer& buffer, std::uint64_t offset) {
  // A call that waited may go on with another file, which dup2 has put in place of its own.
  const bool asks =
      task.resumed ? !is_waiting_ && !has_text_ && error_ == 0 : offset == 0 || !has_text_;
  const bool is_new = asks && attribute_.text().empty();
  if (is_new) {
    task.deadline = guest::monotonic_ns() + kTimeLimit;
  }
  if (is_new && !is_waiting_) {
    if (const int error = attribute_.chip().ask(*this, attribute_.channel())) {
      return -error;
    }
    is_waiting_ = true;
  }
  if (is_waiting_ && (is_new || task.resumed)) {
    if (task.interrupted && !task.uninterruptible) {
      task.stop_waiting();
      if (answers_.empty()) {
        attribute_.chip().withdraw(*this);
        is_waiting_ = false;
      }
      return kBlocked;
    }
    if (!task.is_due()) {
      return task.wait(answers_);
    }
    attribute_.chip().give_up(*this);
    answered(EIO, {});
  }
  if (error_ != 0 && attribute_.text().empty()) {
    return -error_;
  }
  const auto bytes = std::as_bytes(std::span(text_.begin(), text_.size()));
  return offset >= bytes.size() ? 0 : buffer.fill(bytes.subspan(offset));
}

// What one call writes is the whole value. Progress: this call has asked.
std::int64_t AttributeFile::write(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  task.uninterruptible = true;  // it is over within the limit
  if (!task.resumed) {
    task.deadline = guest::monotonic_ns() + kTimeLimit;
  }
  const bool has_asked = task.progress != 0;
  if (is_waiting_ && !task.is_due()) {
    return task.wait(answers_);
  }
  if (is_waiting_) {
    attribute_.chip().give_up(*this);
    answered(EIO, {});
  }
  if (has_asked) {
    return error_ != 0 ? -error_ : static_cast<std::int64_t>(buffer.size());
  }
  std::array<char, 64> text;
  if (buffer.size() > text.size()) {
    return -EINVAL;
  }
  const std::int64_t taken = buffer.take(std::as_writable_bytes(std::span(text)));
  if (taken <= 0) {
    return taken;
  }
  std::string_view value(text.data(), static_cast<std::size_t>(taken));
  value.remove_suffix(value.ends_with('\n') ? 1 : 0);
  if (value.empty()) {
    return -EINVAL;
  }
  if (const int error = attribute_.chip().ask(*this, attribute_.channel(), value)) {
    return -error;
  }
  is_waiting_ = true;
  task.progress = 1;
  return task.wait(answers_);
}

// The directory `name` in `parent`, which is made where it is not there; null: no memory.
Directory* enter(Directory& parent, std::string_view name) {
  if (const Reference<Node> existing = parent.look_up(name, nullptr)) {
    return existing->table();
  }
  Name copy = Name::copy(name);
  auto* made = copy.is_null() ? nullptr
                              : new (std::nothrow) VirtualDirectory(std::move(copy), kSystemDevice);
  return parent.add_child(made) ? made : nullptr;
}

}  // namespace

Directory* enter_path(Directory& root, std::string_view path) {
  Directory* directory = &root;
  while (directory != nullptr && !path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    directory = enter(*directory, path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return directory;
}

Result<Reference<File>> AttributeNode::open(std::uint32_t flags, Process& opener) {
  if ((flags & O_ACCMODE) != O_RDONLY && !is_setting_) {
    return fail(EACCES);
  }
  if (texts_share.is_scarce() && !opener.descriptors().is_small()) {
    return fail(ENFILE);
  }
  auto* file = new AttributeFile(*this, flags);
  if (file == nullptr) {
    return fail(ENOMEM);
  }
  const Reference<File> reference(file);
  return text_.empty() || file->set_text(text_, "\n") ? Result<Reference<File>>(reference)
                                                      : fail(ENOMEM);
}

}  // namespace linux_server
