#pragma once

#include "device-model/profile.h"
#include "device-model/yaml_tree.h"
#include "vmm/error.h"

namespace ensemble::device {

// Reads a profile out of a document from which `extends` was already resolved and removed. Leaves
// Profile::name and Profile::path to the caller. Checks everything that Profile promises.
Result<Profile> read_profile(const YamlNode& document);

}  // namespace ensemble::device
