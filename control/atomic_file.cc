#include "control/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

std::unexpected<Error> write_failure(const std::string& path, int error_number) {
  return std::unexpected(Error::from_errno("cannot write '" + path + "'", error_number));
}

// 0, or the errno of the failure.
int write_all(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor, content.data(), content.size());
    if (written >= 0) {
      content.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

Result<void> write_directly(const std::string& path, std::string_view content) {
  const vmm::FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!file) {
    return write_failure(path, errno);
  }
  if (const int error_number = write_all(file.get(), content); error_number != 0) {
    return write_failure(path, error_number);
  }
  return {};
}

// The permissions that open(2) would give a new file.
mode_t default_mode() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return 0666 & ~mask;
}

}  // namespace

Result<void> write_file_atomically(const std::string& path, std::string_view content) {
  struct stat existing {};
  if (::stat(path.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode)) {
    return S_ISDIR(existing.st_mode) ? Result<void>(write_failure(path, EISDIR))
                                     : write_directly(path, content);
  }
  std::string temporary = path + ".XXXXXX";
  const vmm::FileDescriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!file) {
    return write_failure(path, errno);
  }
  int error_number = write_all(file.get(), content);
  if (error_number == 0 && (::fchmod(file.get(), default_mode()) != 0 || ::fsync(file.get()) != 0 ||
                            std::rename(temporary.c_str(), path.c_str()) != 0)) {
    error_number = errno;
  }
  if (error_number != 0) {
    ::unlink(temporary.c_str());
    return write_failure(path, error_number);
  }
  return {};
}

}  // namespace ensemble::control
