#pragma once

#include <optional>
#include <string>

#include "vmm/error.h"

namespace ensemble::control {

// What runs a device.
enum class Engine {
  kAutomatic,  // kEnsemble where the host's KVM can be used, else kLibvirt.
  kEnsemble,   // ensemble-vmm, on KVM.
  kLibvirt,    // ensemble-libvirt: a domain of libvirt, on QEMU.
};

struct EngineChoice {
  Engine engine = Engine::kAutomatic;
  // A connection of libvirt's; empty: its driver in the device's own process.
  std::string libvirt_uri;
};

// Reads "auto", "kvm", "libvirt" or "libvirt:URI".
Result<EngineChoice> parse_engine(const std::string& text);

// Whether it is a connection to the QEMU driver of this host's libvirt: the devices' files and
// sockets are this host's. The Error shows what is.
Result<void> check_libvirt_uri(const std::string& uri);

// Why the KVM device file cannot be used, as a sentence; absent: it can.
std::optional<std::string> kvm_problem();

}  // namespace ensemble::control
