#pragma once

#include <string>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "vmm/error.h"

namespace ensemble::control {

// What a domain has beyond the device's configuration.
struct DomainOptions {
  // Unique among the domains of a libvirt connection.
  std::string name;
  // Boot package, manifest and root file system in one file (initial_ramdisk.h).
  std::string initial_ramdisk;
  // QEMU; empty: libvirt chooses.
  std::string emulator;
  // Whether the processor is KVM's; if not, QEMU emulates one.
  bool use_kvm = false;
  // Paths of listening Unix sockets, which QEMU connects to when it starts. Empty: the console and
  // the serial port are pseudo-terminals, and what the guest ends the machine with ends QEMU.
  std::string console_socket;
  std::string serial_socket;
  std::string power_socket;
  // Path at which QEMU listens for the other end of the device's port, if it has one.
  std::string port_socket;
};

// The domain XML of a device on QEMU's microvm, as libvirt's domain schema wants it. The Error
// says which value no XML document can have.
Result<std::string> domain_xml(const ensemble::vmm::v1::Configuration& configuration,
                               const DomainOptions& options);

}  // namespace ensemble::control
