#include "control/engine.h"

#include <string_view>
#include <utility>

#include "control/installation.h"
#include "vmm/kvm.h"

namespace ensemble::control {

Result<EngineChoice> parse_engine(const std::string& text) {
  constexpr std::string_view kLibvirtUri = "libvirt:";
  if (text == "auto") {
    return EngineChoice{};
  }
  if (text == "kvm") {
    return EngineChoice{Engine::kEnsemble, {}};
  }
  if (text == "libvirt") {
    return EngineChoice{Engine::kLibvirt, {}};
  }
  if (text.starts_with(kLibvirtUri)) {
    std::string uri = text.substr(kLibvirtUri.size());
    if (auto checked = check_libvirt_uri(uri); !checked) {
      return std::unexpected(checked.error());
    }
    return EngineChoice{Engine::kLibvirt, std::move(uri)};
  }
  return fail("the engine '{}' is none of auto, kvm, libvirt and libvirt:URI", text);
}

Result<void> check_libvirt_uri(const std::string& uri) {
  constexpr std::size_t kLongest = 1024;
  const bool is_local = uri.starts_with("qemu:///") || uri.starts_with("qemu+unix:///");
  if (!is_local || uri.size() > kLongest || uri.find('\0') != std::string::npos) {
    return fail("'{}' is no connection to this host's QEMU, such as qemu:///session", uri);
  }
  return {};
}

std::optional<std::string> kvm_problem() {
  const auto kvm = vmm::Kvm::open(kvm_device());
  return kvm ? std::nullopt : std::optional(kvm.error().message());
}

}  // namespace ensemble::control
