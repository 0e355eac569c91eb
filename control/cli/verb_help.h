#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>

namespace ensemble::control {

// What `--help` says of a verb: also the options of the program that say where the daemon is.
class VerbHelp : public CLI::Formatter {
 public:
  // `without_daemon` names the verbs that ask none; it outlives this.
  explicit VerbHelp(std::span<const char* const> without_daemon)
      : without_daemon_(without_daemon) {}

  // What follows a verb's own options.
  std::string make_subcommands(const CLI::App* app, CLI::AppFormatMode mode) const override;

 private:
  std::span<const char* const> without_daemon_;
};

}  // namespace ensemble::control
