#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace ensemble::vmm::arch {

// A list that KVM takes or fills: a 32-bit count, for most lists a 32-bit word of flags, and the
// entries. The kernel's own declarations (struct kvm_msrs and its like) are laid out differently in
// C++, where the empty structure in front of their flexible array has a size; the numbers of the
// ioctls, which encode sizeof, differ too. So both are declared here, as C sees them.
template <typename Entry, size_t kHeaderSize>
class KvmList {
 public:
  explicit KvmList(size_t capacity)
      : buffer_((kHeaderSize + capacity * sizeof(Entry) + 7) / 8), capacity_(capacity) {
    set_count(capacity);
  }

  explicit KvmList(std::span<const Entry> entries) : KvmList(entries.size()) {
    std::memcpy(bytes() + kHeaderSize, entries.data(), entries.size_bytes());
  }

  // What the ioctl gets.
  void* data() { return buffer_.data(); }

  // The count that KVM wrote, no more than there is room for.
  size_t count() const {
    uint32_t count = 0;
    std::memcpy(&count, buffer_.data(), sizeof(count));
    return count < capacity_ ? count : capacity_;
  }

  std::span<Entry> entries() { return {reinterpret_cast<Entry*>(bytes() + kHeaderSize), count()}; }

 private:
  std::byte* bytes() { return reinterpret_cast<std::byte*>(buffer_.data()); }
  void set_count(size_t count) {
    const auto value = static_cast<uint32_t>(count);
    std::memcpy(buffer_.data(), &value, sizeof(value));
  }

  std::vector<uint64_t> buffer_;  // Zeroed, and aligned for any entry.
  size_t capacity_;
};

// The number of a KVM ioctl whose argument has `size` bytes.
constexpr unsigned long kvm_request(unsigned direction, unsigned number, unsigned size) {
  return _IOC(direction, unsigned{KVMIO}, number, size);
}

using CpuidList = KvmList<kvm_cpuid_entry2, 8>;
inline constexpr unsigned long kGetSupportedCpuid = kvm_request(_IOC_READ | _IOC_WRITE, 0x05, 8);
inline constexpr unsigned long kSetCpuid = kvm_request(_IOC_WRITE, 0x90, 8);

using MsrIndexList = KvmList<uint32_t, 4>;
inline constexpr unsigned long kGetMsrIndexList = kvm_request(_IOC_READ | _IOC_WRITE, 0x02, 4);

using MsrList = KvmList<kvm_msr_entry, 8>;
inline constexpr unsigned long kGetMsrs = kvm_request(_IOC_READ | _IOC_WRITE, 0x88, 8);
inline constexpr unsigned long kSetMsrs = kvm_request(_IOC_WRITE, 0x89, 8);

using RoutingList = KvmList<kvm_irq_routing_entry, 8>;
inline constexpr unsigned long kSetGsiRouting = kvm_request(_IOC_WRITE, 0x6a, 8);

// struct kvm_xsave, which may be longer for KVM_CAP_XSAVE2.
inline constexpr size_t kXsaveSize = 4096;
inline constexpr unsigned long kGetXsave = kvm_request(_IOC_READ, 0xa4, kXsaveSize);
inline constexpr unsigned long kSetXsave = kvm_request(_IOC_WRITE, 0xa5, kXsaveSize);
inline constexpr unsigned long kGetXsave2 = kvm_request(_IOC_READ, 0xcf, kXsaveSize);

// The fixed structures of which this code relies on the layout.
static_assert(sizeof(kvm_cpuid_entry2) == 40 && sizeof(kvm_msr_entry) == 16 &&
              sizeof(kvm_irq_routing_entry) == 48 && sizeof(kvm_irqchip) == 520);

}  // namespace ensemble::vmm::arch
