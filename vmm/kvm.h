#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::vmm {

// ioctl(2) that is tried again when a signal interrupts it. The result, or an Error
// "<what>: <errno>".
template <typename Argument>
Result<int> kvm_ioctl(int fd, unsigned long request, Argument argument, const char* what) {
  for (;;) {
    const int result = ::ioctl(fd, request, argument);
    if (result >= 0) {
      return result;
    }
    if (errno != EINTR) {
      return std::unexpected(Error::from_errno(what, errno));
    }
  }
}

// The KVM of the host: an open /dev/kvm that has all that a machine needs.
class Kvm {
 public:
  // Opens `path` and checks the API version and the capabilities. The Error says what is missing
  // and the mend.
  static Result<std::shared_ptr<Kvm>> open(const std::string& path);

  int fd() const { return descriptor_.get(); }

  // The value of a capability (KVM_CAP_…): 0 if absent.
  int capability(int which) const;

  // Size of the area that a vCPU shares with KVM.
  size_t run_area_size() const { return run_area_size_; }

 private:
  explicit Kvm(FileDescriptor descriptor) : descriptor_(std::move(descriptor)) {}

  FileDescriptor descriptor_;
  size_t run_area_size_ = 0;
};

}  // namespace ensemble::vmm
