#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "kvm_list.h"
#include "vcpu_arch.h"

namespace ensemble::vmm::arch {
namespace {

constexpr uint64_t kXsaveLimit = 1024 * 1024;
constexpr uint32_t kMsrLimit = 4096;
constexpr size_t kMsrBatch = 64;

Result<std::vector<uint32_t>> msr_indexes(const Kvm& kvm) {
  MsrIndexList list(kMsrLimit);
  if (auto got = kvm_ioctl(kvm.fd(), kGetMsrIndexList, list.data(), "KVM does not list its MSRs");
      !got) {
    return std::unexpected(got.error());
  }
  return std::vector<uint32_t>(list.entries().begin(), list.entries().end());
}

// Reads all MSRs in `indexes` that this vCPU has.
std::vector<kvm_msr_entry> read_msrs(int vcpu_fd, std::span<const uint32_t> indexes) {
  std::vector<kvm_msr_entry> values;
  while (!indexes.empty()) {
    MsrList list(std::min(kMsrBatch, indexes.size()));
    for (size_t i = 0; i < list.count(); ++i) {
      list.entries()[i].index = indexes[i];
    }
    // Stops before the first that the vCPU lacks; that one is left out.
    const int done = ::ioctl(vcpu_fd, kGetMsrs, list.data());
    const auto read = list.entries().first(static_cast<size_t>(std::max(done, 0)));
    values.insert(values.end(), read.begin(), read.end());
    indexes = indexes.subspan(std::min(read.size() + 1, list.count()));
  }
  return values;
}

Result<void> write_msrs(int vcpu_fd, std::span<const kvm_msr_entry> values) {
  while (!values.empty()) {
    MsrList list(values.first(std::min(kMsrBatch, values.size())));
    const int done = ::ioctl(vcpu_fd, kSetMsrs, list.data());
    const size_t written = static_cast<size_t>(std::max(done, 0));
    values = values.subspan(written);
    if (written == list.count()) {
      continue;
    }
    // Some MSRs of the list can only be read; one that has its value already needs no writing.
    const kvm_msr_entry& refused = values.front();
    const auto now = read_msrs(vcpu_fd, std::array{refused.index});
    if (now.empty() || now.front().data != refused.data) {
      return fail("this host's KVM refuses {:#x} in MSR {:#x}", uint64_t{refused.data},
                  uint32_t{refused.index});
    }
    values = values.subspan(1);
  }
  return {};
}

size_t xsave_size(const Kvm& kvm) {
  const int size = kvm.capability(KVM_CAP_XSAVE2);
  return std::max(kXsaveSize, static_cast<size_t>(size));
}

// A series of ioctls on one vCPU; the first failure ends it and is kept.
class Transfer {
 public:
  explicit Transfer(int vcpu_fd) : vcpu_fd_(vcpu_fd) {}

  template <typename T>
  Transfer& operator()(unsigned long request, T* argument, const char* what) {
    if (status_) {
      if (auto done = kvm_ioctl(vcpu_fd_, request, argument, what); !done) {
        status_ = std::unexpected(done.error());
      }
    }
    return *this;
  }

  const Result<void>& status() const { return status_; }

 private:
  int vcpu_fd_;
  Result<void> status_;
};

struct Registers {
  kvm_mp_state mp_state;
  kvm_regs regs;
  kvm_sregs sregs;
  kvm_debugregs debugregs;
  kvm_lapic_state lapic;
  kvm_vcpu_events events;
  kvm_xcrs xcrs;
  std::vector<std::byte> xsave;
  std::vector<kvm_msr_entry> msrs;
};

Result<Registers> parse(const Kvm& kvm, StateReader& reader) {
  Registers state = {};
  state.mp_state = reader.object<kvm_mp_state>();
  state.regs = reader.object<kvm_regs>();
  state.sregs = reader.object<kvm_sregs>();
  state.debugregs = reader.object<kvm_debugregs>();
  state.lapic = reader.object<kvm_lapic_state>();
  state.events = reader.object<kvm_vcpu_events>();
  state.xcrs = reader.object<kvm_xcrs>();
  const auto xsave = reader.bytes(kXsaveLimit);
  state.xsave.assign(xsave.begin(), xsave.end());
  const uint32_t count = reader.u32();
  for (uint32_t i = 0; i < count && reader.status(); ++i) {
    kvm_msr_entry entry = {};
    entry.index = reader.u32();
    entry.data = reader.u64();
    state.msrs.push_back(entry);
  }
  if (auto finished = reader.finish(); !finished) {
    return std::unexpected(finished.error());
  }
  if (state.xsave.size() > xsave_size(kvm)) {
    return fail("holds {} bytes of FPU state where this host has {}", state.xsave.size(),
                xsave_size(kvm));
  }
  state.xsave.resize(xsave_size(kvm));
  return state;
}

Result<void> apply(int vcpu_fd, Registers& state) {
  // The local APIC's mode follows from sregs, and the meaning of the deadline MSR from the APIC.
  Transfer set(vcpu_fd);
  set(KVM_SET_MP_STATE, &state.mp_state, "cannot set the run state");
  set(KVM_SET_SREGS, &state.sregs, "cannot set segments and control registers");
  set(KVM_SET_REGS, &state.regs, "cannot set the registers");
  set(KVM_SET_XCRS, &state.xcrs, "cannot set the extended control registers");
  set(kSetXsave, state.xsave.data(), "cannot set the FPU state");
  set(KVM_SET_DEBUGREGS, &state.debugregs, "cannot set the debug registers");
  set(KVM_SET_LAPIC, &state.lapic, "cannot set the local APIC");
  if (!set.status()) {
    return set.status();
  }
  if (auto written = write_msrs(vcpu_fd, state.msrs); !written) {
    return written;
  }
  return set(KVM_SET_VCPU_EVENTS, &state.events, "cannot set the pending events").status();
}

}  // namespace

Result<void> save_vcpu(const Kvm& kvm, int vcpu_fd, StateWriter& writer) {
  auto indexes = msr_indexes(kvm);
  if (!indexes) {
    return std::unexpected(indexes.error());
  }
  Registers state = {};
  state.xsave.resize(xsave_size(kvm));
  Transfer get(vcpu_fd);
  // The run state first: reading it lets KVM settle a pending INIT or SIPI.
  get(KVM_GET_MP_STATE, &state.mp_state, "cannot read the run state");
  get(KVM_GET_REGS, &state.regs, "cannot read the registers");
  get(KVM_GET_SREGS, &state.sregs, "cannot read segments and control registers");
  get(KVM_GET_DEBUGREGS, &state.debugregs, "cannot read the debug registers");
  get(KVM_GET_LAPIC, &state.lapic, "cannot read the local APIC");
  get(KVM_GET_VCPU_EVENTS, &state.events, "cannot read the pending events");
  get(KVM_GET_XCRS, &state.xcrs, "cannot read the extended control registers");
  get(kvm.capability(KVM_CAP_XSAVE2) > 0 ? kGetXsave2 : kGetXsave, state.xsave.data(),
      "cannot read the FPU state");
  if (!get.status()) {
    return get.status();
  }
  writer.object(state.mp_state);
  writer.object(state.regs);
  writer.object(state.sregs);
  writer.object(state.debugregs);
  writer.object(state.lapic);
  writer.object(state.events);
  writer.object(state.xcrs);
  writer.bytes(state.xsave);
  state.msrs = read_msrs(vcpu_fd, *indexes);
  writer.u32(static_cast<uint32_t>(state.msrs.size()));
  for (const kvm_msr_entry& msr : state.msrs) {
    writer.u32(msr.index);
    writer.u64(msr.data);
  }
  return {};
}

Result<void> restore_vcpu(const Kvm& kvm, int vcpu_fd, StateReader& reader) {
  auto state = parse(kvm, reader);
  if (!state) {
    return std::unexpected(state.error());
  }
  return apply(vcpu_fd, *state);
}

}  // namespace ensemble::vmm::arch
