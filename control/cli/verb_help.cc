#include "control/cli/verb_help.h"

#include <algorithm>
#include <utility>

#include "control/address_options.h"

namespace ensemble::control {

std::string VerbHelp::make_subcommands(const CLI::App* app, CLI::AppFormatMode mode) const {
  std::string text = CLI::Formatter::make_subcommands(app, mode);
  const CLI::App* program = app;
  const CLI::App* verb = app;
  while (program->get_parent() != nullptr) {
    verb = std::exchange(program, program->get_parent());
  }
  if (program == app ||
      std::ranges::find(without_daemon_, verb->get_name()) != without_daemon_.end()) {
    return text;
  }
  const auto is_shown = [](const CLI::Option* option) {
    return option->get_group() == kAddressGroup;
  };
  return make_group(kAddressGroup, false, program->get_options(is_shown)) + text;
}

}  // namespace ensemble::control
