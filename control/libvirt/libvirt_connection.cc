#include "control/libvirt/libvirt_connection.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libvirt/virterror.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <thread>

#include "control/atomic_file.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

// An ordinary user's number in the namespace; outside it is still root.
constexpr unsigned kOrdinaryUser = 1000;

constexpr int kKeepAliveSeconds = 5;
constexpr unsigned kKeepAliveCount = 5;

// For the driver inside this process: no other daemons, no confinement that needs root.
constexpr const char* kDriverSettings =
    "security_driver = \"none\"\n"
    "stdio_handler = \"file\"\n";

bool write_text(const char* path, const std::string& text) {
  const vmm::FileDescriptor file(::open(path, O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == std::ssize(text);
}

// Makes root an ordinary user in a user namespace, which libvirt's driver for root need not be set
// up for.
Result<void> leave_root() {
  const unsigned group = ::getegid();
  if (::geteuid() != 0) {
    return {};
  }
  if (::unshare(CLONE_NEWUSER) != 0) {
    return std::unexpected(Error::from_errno("root cannot have a user namespace", errno));
  }
  if (!write_text("/proc/self/setgroups", "deny") ||
      !write_text("/proc/self/uid_map", fmt::format("{} 0 1", kOrdinaryUser)) ||
      !write_text("/proc/self/gid_map", fmt::format("{} {} 1", kOrdinaryUser, group))) {
    return std::unexpected(Error::from_errno("root cannot map users in a namespace", errno));
  }
  return {};
}

// What libvirt finds out about QEMU takes a second: it is kept for all devices.
void share_cache(const std::filesystem::path& root) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path shared;
  if (cache != nullptr && *cache == '/') {
    shared = cache;
  } else if (home != nullptr && *home == '/') {
    shared = std::filesystem::path(home) / ".cache";
  } else {
    return;
  }
  std::error_code failed;
  shared /= "ensemble/libvirt";
  std::filesystem::create_directories(shared, failed);
  if (!failed && ::access(shared.c_str(), W_OK) == 0) {
    std::filesystem::create_directory_symlink(shared, root / "cache", failed);
  }
}

Result<std::string> prepare_embedded(const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder + "/etc", failed);
  auto written = write_file_atomically(folder + "/etc/qemu.conf", kDriverSettings);
  if (!written) {
    return std::unexpected(written.error());
  }
  share_cache(folder);
  std::string uri = "qemu:///embed?root=";
  for (const char c : folder) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '/' || c == '-' || c == '_' || c == '.') {
      uri += c;
    } else {
      uri += fmt::format("%{:02X}", byte);
    }
  }
  return uri;
}

// Once in a process; libvirt has no way to take it back.
void start_events() {
  static std::once_flag once;
  std::call_once(once, [] {
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});  // Errors are values here.
    virEventRegisterDefaultImpl();
    std::thread([] {
      for (;;) {
        virEventRunDefaultImpl();
      }
    }).detach();
  });
}

}  // namespace

Error libvirt_error(const std::string& tried) {
  return Error(fmt::format("{}: {}", tried, virGetLastErrorMessage()));
}

Result<void> check_domains(virConnect& connection, const char* type) {
  char* const capabilities =
      virConnectGetDomainCapabilities(&connection, nullptr, "x86_64", "microvm", type, 0);
  std::free(capabilities);
  if (capabilities == nullptr) {
    return std::unexpected(
        libvirt_error("libvirt finds no QEMU with the machine 'microvm', which Debian's package "
                      "qemu-system-x86 has"));
  }
  return {};
}

Result<LibvirtConnection> connect_to_libvirt(const std::string& uri, const std::string& folder) {
  std::string address = uri;
  if (uri.empty()) {
    if (const auto left = leave_root(); !left) {
      spdlog::warn(
          "{}; libvirt's driver for root needs a user that Debian's package libvirt-daemon-system "
          "makes",
          left.error().message());
    }
    // Of the driver; what goes wrong is in the errors of calls as well.
    ::setenv("LIBVIRT_LOG_OUTPUTS", fmt::format("3:file:{}/libvirt.log", folder).c_str(), 0);
    auto embedded = prepare_embedded(folder + "/libvirt");
    if (!embedded) {
      return std::unexpected(embedded.error());
    }
    address = *embedded;
  }
  virInitialize();
  start_events();
  LibvirtConnection connection(virConnectOpen(address.c_str()));
  if (connection) {
    // A daemon that says nothing for this long is lost. The driver in this process has no such.
    virConnectSetKeepAlive(connection.get(), kKeepAliveSeconds, kKeepAliveCount);
    return connection;
  }
  if (uri.empty()) {
    return std::unexpected(libvirt_error(
        "cannot use libvirt's QEMU driver, which Debian's packages libvirt-daemon-driver-qemu and "
        "qemu-system-x86 have"));
  }
  return std::unexpected(libvirt_error("cannot connect to libvirt at '" + uri + "'"));
}

}  // namespace ensemble::control
