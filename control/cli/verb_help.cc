#include "control/cli/verb_help.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace ensemble::control {

std::string VerbHelp::make_subcommands(const CLI::App* app, CLI::AppFormatMode mode) const {
  std::string text = CLI::Formatter::make_subcommands(app, mode);
  const CLI::App* program = app;
  const CLI::App* verb = app;
  while (program->get_parent() != nullptr) {
    verb = std::exchange(program, program->get_parent());
  }
  if (program == app || !asks_a_daemon(verb->get_name())) {
    return text;
  }
  const auto is_shown = [](const CLI::Option* option) {
    return option->get_group() == kAddressGroup;
  };
  return make_group(kAddressGroup, false, program->get_options(is_shown)) + text;
}

bool asks_a_daemon(std::string_view verb) {
  return verb != "token" && verb != "completion" && verb != "manual";
}

std::optional<std::string> address_problem(std::string_view verb, const AddressOptions& options) {
  const std::vector<std::string> given = options.as_arguments();
  if (given.empty()) {
    return std::nullopt;
  }
  return fmt::format("`{}` asks no daemon, and {} says where one is", verb, given.front());
}

void add_address_options(CommandDescription& verb) {
  if (asks_a_daemon(verb.name)) {
    CLI::App app;
    AddressOptions unused;
    app.set_help_flag();
    add_address_options(app, unused);
    std::ranges::move(describe(app).options, std::back_inserter(verb.options));
  }
}

}  // namespace ensemble::control
