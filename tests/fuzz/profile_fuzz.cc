// Reads the input as a profile that may extend the built-in ones. It is accepted, or refused with a
// message; what is accepted must also make a manifest and JSON.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "device-model/device_tree.h"
#include "device-model/profile_json.h"
#include "device-model/profile_loader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ensemble::device;
  static const auto search_path = profile_search_path();
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto profile = parse_profile(text, "fuzz.yaml", search_path);
  if (!profile) {
    if (profile.error().message().empty()) {
      std::abort();
    }
    return 0;
  }
  MachineDescription machine;
  machine.product = *profile;
  if (!encode_device_tree(machine)) {
    std::abort();
  }
  (void)to_json(*profile).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return 0;
}
