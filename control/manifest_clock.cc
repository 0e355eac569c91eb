#include "control/manifest_clock.h"

#include <libfdt.h>

namespace ensemble::control {

Result<void> set_clock_frequency(std::string& manifest, std::uint64_t hertz) {
  if (const int error = ::fdt_check_full(manifest.data(), manifest.size()); error != 0) {
    return fail("the manifest is no flattened device tree: {}", ::fdt_strerror(error));
  }
  const int node = ::fdt_path_offset(manifest.data(), "/cpus");
  const int error =
      node < 0 ? node
               : ::fdt_setprop_inplace_u64(manifest.data(), node, "timebase-frequency", hertz);
  if (error != 0) {
    return fail("the manifest has no 64-bit /cpus/timebase-frequency: {}", ::fdt_strerror(error));
  }
  return {};
}

}  // namespace ensemble::control
