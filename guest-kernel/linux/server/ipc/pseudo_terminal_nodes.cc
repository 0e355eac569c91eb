#include <asm/fcntl.h>
#include <asm/ioctls.h>

#include <algorithm>
#include <array>

#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/files/virtual_directory.h"
#include "guest-kernel/linux/server/ipc/pseudo_terminal.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/process.h"

// The master's open file, and /dev/pts.
namespace linux_server {
namespace {

constexpr std::uint32_t kMajor = 136;  // of /dev/pts/N

Node* node_of(std::uint32_t number);

class MasterFile final : public File {
 public:
  MasterFile(Node& node, std::uint32_t flags, Reference<PseudoTerminal> terminal)
      : File(node, flags), terminal_(std::move(terminal)) {}
  ~MasterFile() override { terminal_->close_master(); }

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) override {
    ByteQueue& output = terminal_->output();
    if (output.empty()) {
      return terminal_->is_abandoned()     ? -EIO
             : (flags() & O_NONBLOCK) != 0 ? -EAGAIN
                                           : task.wait(terminal_->changed());
    }
    std::uint64_t done = 0;
    while (done < buffer.size() && !output.empty()) {
      const std::int64_t count = buffer.fill(output.piece(), done);
      if (count <= 0) {
        return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
      }
      output.consume(static_cast<std::size_t>(count));
      done += static_cast<std::uint64_t>(count);
    }
    terminal_->changed().wake(kWritable);
    return static_cast<std::int64_t>(done);
  }

  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) override {
    if (!task.resumed) {
      task.progress = 0;
    }
    while (static_cast<std::uint64_t>(task.progress) < buffer.size()) {
      const auto piece = buffer.piece(static_cast<std::uint64_t>(task.progress), Access::kRead);
      const std::int64_t count = piece.empty() ? -EFAULT : write_bytes(task, piece);
      const bool gives_up = count < 0 && (count != kBlocked || task.interrupted);
      if (count == kBlocked && !(gives_up && task.progress != 0)) {
        return kBlocked;
      }
      if (gives_up) {
        return task.progress != 0 ? task.progress : count;
      }
      task.progress += count;
    }
    return task.progress;
  }
  std::int64_t write_bytes(Task& task, std::span<const std::byte> bytes) override {
    const std::size_t count = terminal_->type(bytes);
    return count != 0 || bytes.empty()   ? static_cast<std::int64_t>(count)
           : (flags() & O_NONBLOCK) != 0 ? -EAGAIN
                                         : task.wait(terminal_->changed());
  }

  bool is_seekable() const override { return false; }
  std::int64_t control(Task& task, std::uint64_t request, std::uint64_t argument) override;
  std::uint32_t readiness() const override {
    return (terminal_->output().empty() ? 0u : kReadable) |
           (terminal_->has_input_room() ? kWritable : 0u) |
           (terminal_->is_abandoned() ? kHangUp : 0u);
  }
  WaitQueue* changes() override { return &terminal_->changed(); }
  FileKind kind() const override { return FileKind::kTerminalMaster; }

 private:
  std::int64_t open_peer(Task& task, std::uint32_t flags);

  Reference<PseudoTerminal> terminal_;
};

std::int64_t MasterFile::open_peer(Task& task, std::uint32_t flags) {
  Node* const node = node_of(terminal_->number());
  if (node == nullptr) {
    return -ENOMEM;
  }
  const auto file = open_pseudo_terminal(*node, terminal_->number(),
                                         flags & ~std::uint32_t{O_CLOEXEC}, *task.process);
  return file ? task.process->descriptors().add(*file, (flags & O_CLOEXEC) != 0)
              : -file.error().number;
}

std::int64_t MasterFile::control(Task& task, std::uint64_t request, std::uint64_t argument) {
  AddressSpace& space = task.process->space();
  switch (request) {
    case TIOCGPTN:
      return space.write_value(argument, terminal_->number()) ? 0 : -EFAULT;
    case TIOCSPTLCK: {
      const auto locked = space.read_value<std::uint32_t>(argument);
      if (!locked) {
        return -EFAULT;
      }
      terminal_->set_locked(*locked != 0);
      return 0;
    }
    case TIOCGPTLCK:
      return space.write_value(argument, std::uint32_t{terminal_->is_locked()}) ? 0 : -EFAULT;
    case TIOCGPTPEER:
      return open_peer(task, static_cast<std::uint32_t>(argument));
    case TIOCSIG:
      return -ENOTTY;
    case FIONREAD: {
      const auto size = static_cast<std::uint32_t>(terminal_->output().size());
      return space.write_value(argument, size) ? 0 : -EFAULT;
    }
    case TIOCSCTTY:
    case TIOCNOTTY:
      return -ENOTTY;
    default:
      return control_terminal(task, *terminal_, request, argument, false);
  }
}

// A number's node is made once, and serves each terminal that has the number.
class PseudoTerminalNode final : public Node {
 public:
  PseudoTerminalNode(std::uint32_t number, std::uint32_t device)
      : Node(std::string_view(), kCharacterDevice | 0620), number_(number) {
    guest::TextWriter text(text_);
    text.decimal(number);
    set_name(text.view());
    attributes_.device = device;
    attributes_.device_number = kMajor << 8 | number;
  }

  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override {
    return open_pseudo_terminal(*this, number_, flags, opener);
  }

 private:
  std::array<char, 4> text_;
  std::uint32_t number_;
};

// Shows the terminals that there are.
class TerminalDirectory final : public VirtualDirectory {
 public:
  explicit TerminalDirectory(std::uint32_t device) : VirtualDirectory("pts", device) {
    attributes_.mode = kDirectory | 0755;
  }

  Reference<Node> look_up(std::string_view name, Process* /*viewer*/) override {
    std::uint32_t number = 0;
    for (const char digit : name) {
      if (digit < '0' || digit > '9' || number >= PseudoTerminal::kMaximum) {
        return {};
      }
      number = number * 10 + static_cast<std::uint32_t>(digit - '0');
    }
    const bool plain = name.size() == 1 || !name.starts_with('0');
    return Reference<Node>(plain && PseudoTerminal::find(number) != nullptr ? node(number)
                                                                            : nullptr);
  }
  // Number n is at position n + 3, after "." and "..".
  bool next_entry(std::uint64_t position, Process* /*viewer*/, DirectoryItem& item) override {
    constexpr std::uint64_t kFirst = 3;
    for (std::uint64_t at = std::max(position, kFirst - 1) + 1;
         at - kFirst < PseudoTerminal::kMaximum; ++at) {
      const auto number = static_cast<std::uint32_t>(at - kFirst);
      const Node* found = PseudoTerminal::find(number) != nullptr ? node(number) : nullptr;
      if (found == nullptr) {
        continue;
      }
      guest::TextWriter text(item.storage);
      text.decimal(number);
      item.name = text.view();
      item.inode = found->inode();
      item.type = kCharacterDevice;
      item.position = at;
      return true;
    }
    return false;
  }
  bool is_empty() const override { return false; }

  // Null: no memory.
  Node* node(std::uint32_t number) {
    Reference<Node>& made = nodes_[number];
    if (!made) {
      made = Reference<Node>(new PseudoTerminalNode(number, device()));
      if (made) {
        made->set_place(made->shared_name(), this);
      }
    }
    return made.get();
  }

 private:
  std::array<Reference<Node>, PseudoTerminal::kMaximum> nodes_;
};

constinit TerminalDirectory* the_directory = nullptr;  // lives for ever

Node* node_of(std::uint32_t number) {
  return the_directory->node(number);
}

}  // namespace

Result<Reference<File>> open_terminal_master(Node& node, std::uint32_t flags) {
  Reference<PseudoTerminal> terminal = PseudoTerminal::make();
  if (!terminal) {
    return fail(ENOSPC);
  }
  const Reference<File> file(
      new MasterFile(node, flags & ~std::uint32_t{O_NOCTTY}, std::move(terminal)));
  return file ? Result<Reference<File>>(file) : fail(ENOMEM);
}

bool add_terminal_directory(Directory& directory) {
  constexpr std::uint32_t kMagic = 0x1cd1;  // DEVPTS_SUPER_MAGIC
  auto* made = new TerminalDirectory(next_device());
  if (made == nullptr) {
    return false;
  }
  made->acquire();
  the_directory = made;
  return directory.add_child(made) && add_mount(*made, "devpts", "devpts", kMagic, false);
}

}  // namespace linux_server
