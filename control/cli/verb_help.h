#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "control/address_options.h"
#include "control/command_description.h"

namespace ensemble::control {

// What `--help` says of a verb: also the options of the program that say where the daemon is.
class VerbHelp : public CLI::Formatter {
 public:
  // What follows a verb's own options.
  std::string make_subcommands(const CLI::App* app, CLI::AppFormatMode mode) const override;
};

// Whether the verb asks a daemon, so that options may say where one is.
bool asks_a_daemon(std::string_view verb);

// What is wrong with options of a verb that asks none; absent: there are none of these.
std::optional<std::string> address_problem(std::string_view verb, const AddressOptions& options);

// Adds the options that say where the daemon is to a verb that asks one, for completions.
void add_address_options(CommandDescription& verb);

}  // namespace ensemble::control
