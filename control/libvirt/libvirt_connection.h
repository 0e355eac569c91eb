#pragma once

#include <libvirt/libvirt.h>

#include <functional>
#include <memory>
#include <string>

#include "vmm/error.h"

namespace ensemble::control {

struct FreeConnection {
  void operator()(virConnect* connection) const { virConnectClose(connection); }
};
struct FreeDomain {
  void operator()(virDomain* domain) const { virDomainFree(domain); }
};
using LibvirtConnection = std::unique_ptr<virConnect, FreeConnection>;
using LibvirtDomain = std::unique_ptr<virDomain, FreeDomain>;

// Opens a connection; with an empty `uri` to libvirt's QEMU driver inside this process, which keeps
// its files in `folder`. A thread serves libvirt's events from then on. libvirt refuses to be the
// driver for root where Debian's user for it is missing, so that root first enters a user
// namespace in which it is an ordinary user: to be called while there is one thread only. The Error
// says which package may be missing.
Result<LibvirtConnection> connect_to_libvirt(const std::string& uri, const std::string& folder);

// Whether libvirt has a QEMU for devices; `type` is "kvm" or "qemu". The Error says what has it.
Result<void> check_domains(virConnect& connection, const char* type);

// What libvirt said when a call failed last, after what was tried.
Error libvirt_error(const std::string& tried);

}  // namespace ensemble::control
