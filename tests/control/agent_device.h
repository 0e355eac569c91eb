#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/device_configuration.h"
#include "control/installation.h"
#include "control/served_process.h"
#include "device-model/profile_loader.h"
#include "tests/control/controller.h"
#include "tests/control/temporary_directory.h"

namespace ensemble::control {

// A served device with a port for an agent, in a folder of its own.
class AgentDevice : public testing::Test {
 protected:
  void boot(const std::vector<std::string>& command, const std::string& profile_name = "watch") {
    const std::string vmm = ENSEMBLE_TEST_VMM;
    auto process =
        start_served_process({.executable = vmm, .folder = folder_, .log_level = "warn"});
    ASSERT_TRUE(process) << process.error().message();
    process_ = std::move(*process);
    DeviceOptions options;
    options.rootfs = root_;
    options.terminal = terminal_;
    options.command = command;
    options.agent = true;
    const auto profile = device::load_profile(profile_name);
    ASSERT_TRUE(profile) << profile.error().message();
    const auto configuration = make_configuration(
        options, *profile, InstallationFiles(std::filesystem::path(vmm).parent_path()));
    ASSERT_TRUE(configuration) << configuration.error().message();
    controller_.emplace(folder_);
    const ensemble::vmm::v1::Reply configured =
        controller_->ask([&](ensemble::vmm::v1::Request& request) {
          *request.mutable_configure()->mutable_configuration() = *configuration;
        });
    ASSERT_TRUE(configured.has_done()) << configured.failure().message();
    const ensemble::vmm::v1::Reply started =
        controller_->ask([](ensemble::vmm::v1::Request& request) { request.mutable_start(); });
    ASSERT_TRUE(started.has_done()) << started.failure().message();
  }

  void TearDown() override {
    if (HasFailure()) {
      std::cerr << log() << "\n";
    }
    if (process_.id > 0) {
      ::kill(process_.id, SIGKILL);
      ::waitpid(process_.id, nullptr, 0);
    }
  }

  void wait_for_log(std::string_view text) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (log().find(text) == std::string::npos && std::chrono::steady_clock::now() < deadline) {
      ::poll(nullptr, 0, 5);
    }
    ASSERT_NE(log().find(text), std::string::npos);
  }

  std::string log() const {
    std::ifstream file(folder_ + kConsoleLogName, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // Absent: the installation's.
  std::optional<std::string> root_ = ENSEMBLE_TEST_ROOT;
  std::optional<TerminalSize> terminal_;
  const TemporaryDirectory directory_;
  const std::string folder_ = directory_.path("");
  StartedProcess process_;
  std::optional<Controller> controller_;
};

}  // namespace ensemble::control
