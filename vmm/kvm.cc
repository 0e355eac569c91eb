#include "vmm/kvm.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

namespace ensemble::vmm {
namespace {

struct Requirement {
  int capability;
  const char* name;
};

constexpr std::array kRequirements = {
    Requirement{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    Requirement{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    Requirement{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
    Requirement{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    Requirement{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    Requirement{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    Requirement{KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS"},
    Requirement{KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
    Requirement{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    Requirement{KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
    Requirement{KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
};

Error explain_open_failure(const std::string& path, int error) {
  std::string message = fmt::format("cannot open {}", path);
  switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      message +=
          ": this host offers no KVM. Load its module (`modprobe kvm_intel` or `modprobe kvm_amd`) "
          "and enable virtualisation in the firmware, or nested virtualisation if this is itself a "
          "virtual machine";
      break;
    case EACCES:
    case EPERM:
      message +=
          ": this user may not use it. Join the group that owns it (`sudo usermod -aG kvm $USER`, "
          "then log in again)";
      break;
    default:
      break;
  }
  return Error::from_errno(message, error);
}

}  // namespace

Result<std::shared_ptr<Kvm>> Kvm::open(const std::string& path) {
  FileDescriptor descriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!descriptor) {
    return std::unexpected(explain_open_failure(path, errno));
  }
  const int version = ::ioctl(descriptor.get(), KVM_GET_API_VERSION, 0);
  if (version < 0) {
    return std::unexpected(Error::from_errno(
        fmt::format(
            "{} is no KVM device (expected KVM's own, usually /dev/kvm): it tells no API version",
            path),
        errno));
  }
  if (version != KVM_API_VERSION) {
    return fail(
        "{} speaks version {} of the KVM API where version {} is needed; update the kernel to "
        "Linux 5.10 or newer",
        path, version, KVM_API_VERSION);
  }
  std::shared_ptr<Kvm> kvm(new Kvm(std::move(descriptor)));
  for (const Requirement& requirement : kRequirements) {
    if (kvm->capability(requirement.capability) <= 0) {
      return fail("{} is too old: it lacks {}; update the kernel to Linux 5.10 or newer", path,
                  requirement.name);
    }
  }
  auto size = kvm_ioctl(kvm->fd(), KVM_GET_VCPU_MMAP_SIZE, 0, "cannot ask KVM for its run area");
  if (!size) {
    return std::unexpected(size.error());
  }
  kvm->run_area_size_ = static_cast<size_t>(*size);
  return kvm;
}

int Kvm::capability(int which) const {
  const int value = ::ioctl(fd(), KVM_CHECK_EXTENSION, which);
  return value < 0 ? 0 : value;
}

}  // namespace ensemble::vmm
