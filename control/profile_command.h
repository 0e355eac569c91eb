#pragma once

#include <string>

#include "vmm/error.h"

namespace ensemble::control {

enum class OutputFormat { kText, kJson };

// What the three commands of `ensemble profile` print. Errors of a profile name file, line and
// column.
Result<std::string> list_profiles_as(OutputFormat format);
Result<std::string> show_profile_as(const std::string& name_or_path, OutputFormat format);

struct ValidationOutcome {
  bool valid = false;
  std::string output;
};

// `path` is always taken as a path, even if it looks like a name.
ValidationOutcome validate_profile_as(const std::string& path, OutputFormat format);

}  // namespace ensemble::control
