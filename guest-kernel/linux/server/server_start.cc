#include <array>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/files/device_files.h"
#include "guest-kernel/linux/server/files/disk_file_system.h"
#include "guest-kernel/linux/server/files/file_systems.h"
#include "guest-kernel/linux/server/files/proc_files.h"
#include "guest-kernel/linux/server/files/system_files.h"
#include "guest-kernel/linux/server/first_command.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/missed_calls.h"
#include "guest-kernel/linux/server/program.h"
#include "guest-kernel/linux/server/root_archive.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/system_name.h"

// The server's first and last acts: it reads the root file system, starts the command, and turns
// the machine off.
namespace linux_server {
namespace {

using guest::Role;
using guest::Status;

// Where the server maps the root file system. A multiple of 2 MiB.
constexpr std::uint64_t kRootAddress = 0x200'0000'0000;

constexpr std::string_view kToolDirectory = "bin/";

constexpr int kNotFound = 127;
constexpr int kCannotRun = 126;

}  // namespace

void Server::open_console() {
  const guest::Resource* console = info_.find(Role::kConsole);
  if (console != nullptr && console->address != 0) {
    terminal_.emplace(*console);
  } else {
    terminal_.emplace();
  }
  take_input();
}

void Server::read_root() {
  if (const guest::Resource* root = info_.find(Role::kRoot); root != nullptr) {
    const std::uint64_t size = (root->size + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
    if (guest::map(abi::kSelfSlot, kRootAddress, root->slot, 0, size, abi::kRightRead) ==
        Status::kOk) {
      archive_ = {reinterpret_cast<const std::byte*>(kRootAddress), root->size};
      root_slot_ = root->slot;
    } else {
      report("linux server: the root file system cannot be mapped");
    }
  }
  if (const guest::Resource* boot = info_.find(Role::kBootArchive); boot != nullptr) {
    boot_archive_ = {reinterpret_cast<const std::byte*>(boot->address), boot->size};
  }
  const auto result = read_root_archive(archive_, {}, kRootDevice, root_);
  if (!mount_writable_file_systems(root_)) {
    report("linux server: there is no memory for the writable file systems");
  }
  if (!result) {
    std::array<char, 512> line;
    guest::TextWriter text(line);
    text.text("linux server: root file system: ").text(result.error().entry);
    text.text(result.error().entry.empty() ? "" : ": ").text(result.error().reason);
    report(text.view());
  }
  // The native tools come with the boot package. Last, for /bin may be a link of the root's.
  static_cast<void>(read_root_archive(boot_archive_, kToolDirectory, kVirtualDevice, root_));
}

// Nothing may be allocated before this.
bool Server::prepare() {
  if (!MemoryPool::create(info_, memory_pool())) {
    return false;
  }
  build_call_table();
  const std::string_view product = guest::text_of(info_.product_name);
  set_system_name(product.empty() ? "ensemble" : product);
  root_.acquire();  // it is a part of the server and is never deleted
  return add_root_mount(root_) && add_device_files(root_) && add_proc_files(root_) &&
         add_system_files(root_);
}

const guest::Resource* Server::late_resource(Role role) {
  if (!is_complete_) {
    is_complete_ = true;
    guest::Message message{{static_cast<std::uint64_t>(guest::ControlRequest::kCompleteStart)}};
    static_cast<void>(guest::call(info_.slot_of(Role::kControl), message));
  }
  return info_.find(role);
}

void Server::start() {
  open_console();
  if (!prepare()) {
    report("linux server: there is not enough memory to start");
    finish(kOwnFailure);
  }
  read_root();
  start_command();
}

void Server::start_command() {
  const FirstCommand command = first_command();
  const std::string_view text = command.arguments.text;
  const std::string_view name = text.substr(0, text.find('\0'));
  const auto program = find_program(name);
  command_started_ = guest::read_tsc();
  const auto started = program ? start_first_process(*program, command)
                               : Result<void>(std::unexpected(program.error()));
  if (!started) {
    explain_failure(name, program.has_value(), started.error().number);
  }
}

void Server::explain_failure(std::string_view name, bool found, std::int64_t error) {
  std::array<char, 512> line;
  guest::TextWriter text(line);
  text.text(name.substr(0, 256)).text(": ");
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      text.text(found ? "its interpreter is not in the root file system"
                      : "not found in the root file system");
      break;
    case EACCES:
      text.text("not an executable file");
      break;
    case ENOEXEC:
      text.text("not an x86-64 ELF executable that can be loaded");
      break;
    case E2BIG:
      text.text("the arguments are too long");
      break;
    case ENOMEM:
      text.text("not enough memory to start it");
      break;
    default:
      text.text("cannot be started, error ").decimal(static_cast<std::uint64_t>(error));
      break;
  }
  report(text.view());
  finish(!found && (error == ENOENT || error == ENOTDIR) ? kNotFound : kCannotRun);
}

void Server::finish(int exit_code) {
  disk_file_system().unmount();
  if (terminal_) {
    terminal_->notify_driver();
  }
  report_missed_calls(info_.slot_of(Role::kControl));
  guest::Message message{{static_cast<std::uint64_t>(guest::ControlRequest::kCommandEnded),
                          static_cast<std::uint64_t>(exit_code), command_started_,
                          guest::read_tsc()}};
  const Status status = guest::call(info_.slot_of(Role::kControl), message);
  static_cast<void>(status);
  guest::exit_thread();  // the composer does not answer while the machine goes off
}

}  // namespace linux_server
