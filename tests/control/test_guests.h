#pragma once

#include <map>
#include <string>
#include <vector>

namespace ensemble::control {

// The path of a small kernel of tests/control/guests.
inline std::string guest(const std::string& name) {
  return std::string(ENSEMBLE_TEST_GUESTS) + "/" + name + ".elf";
}

// `ensemble run watch` with a small kernel, on KVM.
inline std::vector<std::string> run_guest(const std::string& name,
                                          const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"run", "watch", "--engine", "kvm", "--kernel", guest(name)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// An environment without guest files, so that a test's kernel gets no modules.
inline std::map<std::string, std::string> bare() {
  return {{"ENSEMBLE_GUEST_DIR", "/nonexistent"}};
}

}  // namespace ensemble::control
