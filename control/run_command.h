#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/error.h"

namespace ensemble::control {

// The exit code of `ensemble` when Ensemble itself failed, whatever the guest did.
inline constexpr int kEnsembleFailed = 125;

// What `ensemble run` was asked to do; what is absent comes from the profile or the installation.
struct RunOptions {
  std::string profile;
  std::string name;
  std::optional<std::int64_t> cpus;
  std::optional<std::string> memory;
  std::optional<std::string> kernel;
  std::optional<std::string> rootfs;
  std::optional<std::string> disk;
  std::optional<std::string> append = {};
  std::optional<std::string> network = {};
  std::optional<std::string> balloon = {};
  std::optional<std::string> vsock = {};
  std::optional<std::string> world;
  std::optional<std::string> report;
  // As parse_engine() reads it.
  std::string engine = "auto";
  std::vector<std::string> command;
  std::string log_level;
};

// Runs a device to its end with this process's terminal as its console. The exit code for this
// process: the guest command's, or 128 plus the number of the signal that stopped the device. An
// Error stands for kEnsembleFailed.
Result<int> run_device(const RunOptions& options);

}  // namespace ensemble::control
