#pragma once

#include <string>
#include <vector>

#include "control/daemon/api_error.h"
#include "control/ensemble/v1/device.pb.h"

namespace ensemble::control {

// Labels and states that a device must have: "suite=nightly,tier!=slow,owner,state=RUNNING".
class DeviceFilter {
 public:
  // Lets all devices through.
  DeviceFilter() = default;
  // The error names the term that is none.
  static ApiResult<DeviceFilter> parse(const std::string& text);

  bool matches(const v1::Device& device) const;

 private:
  struct Term {
    enum class Kind { kPresent, kEqual, kNotEqual };
    std::string key;
    Kind kind = Kind::kPresent;
    std::string value;
  };

  std::vector<Term> terms_;
};

}  // namespace ensemble::control
