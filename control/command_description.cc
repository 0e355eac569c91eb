#include "control/command_description.h"

#include <CLI/CLI.hpp>
#include <string_view>

namespace ensemble::control {
namespace {

// CLI11 keeps what a validator takes in the type's name only: "TEXT:{a,b}" for a set, and
// "TEXT:value in {a->0,b->1} OR {0,1}" for a set of names with values.
std::vector<std::string> choices_in(std::string_view type) {
  const std::size_t begin = type.find('{');
  const std::size_t end = type.find('}');
  std::vector<std::string> choices;
  if (begin == std::string_view::npos || end == std::string_view::npos) {
    return choices;
  }
  std::string_view list = type.substr(begin + 1, end - begin - 1);
  while (!list.empty()) {
    const std::string_view choice = list.substr(0, list.find(','));
    choices.emplace_back(choice.substr(0, choice.find("->")));
    list.remove_prefix(std::min(list.size(), choice.size() + 1));
  }
  return choices;
}

OptionDescription describe_option(const CLI::Option& option) {
  OptionDescription description;
  for (const std::string& name : option.get_snames()) {
    description.names.push_back("-" + name);
  }
  for (const std::string& name : option.get_lnames()) {
    description.names.push_back("--" + name);
  }
  if (option.get_positional()) {
    description.argument = option.get_name(true);
  }
  if (option.get_items_expected_max() > 0) {
    const std::string type = option.get_type_name();
    description.value = type.substr(0, type.find(':'));
    description.choices = choices_in(type);
  }
  description.text = option.get_description();
  description.standard = option.get_default_str();
  description.required = option.get_required();
  description.repeats = option.get_items_expected_max() > 1;
  return description;
}

}  // namespace

CommandDescription describe(const CLI::App& app) {
  CommandDescription description{app.get_name(), app.get_description(), app.get_footer(), {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) {
      description.options.push_back(describe_option(*option));
    }
  }
  const auto is_shown = [](const CLI::App* command) { return !command->get_group().empty(); };
  for (const CLI::App* command : app.get_subcommands(is_shown)) {
    description.commands.push_back(describe(*command));
  }
  return description;
}

}  // namespace ensemble::control
