#include "control/cli/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "device-model/profile_loader.h"

namespace ensemble::control {
namespace {

// A command with the words that lead to it, as in "ensemble profile list".
struct Place {
  std::string path;
  const CommandDescription* command;
};

void add_places(const CommandDescription& command, const std::string& path,
                std::vector<Place>& places) {
  places.push_back({path, &command});
  for (const CommandDescription& child : command.commands) {
    add_places(child, path + " " + child.name, places);
  }
}

enum class Values { kNone, kFiles, kDevices, kProfiles, kListed };

Values values_of(const OptionDescription& option) {
  if (!option.choices.empty()) {
    return Values::kListed;
  }
  if (option.argument == "DEVICE") {
    return Values::kDevices;
  }
  if (option.argument == "PROFILE") {
    return Values::kProfiles;
  }
  // A number, or a name that is made up now.
  const bool is_free = option.value == "UINT" || option.value == "INT" || option.argument == "NAME";
  return option.value.empty() || is_free ? Values::kNone : Values::kFiles;
}

// `text` as one word of a POSIX shell or of fish.
std::string quote(std::string_view text) {
  std::string quoted = "'";
  for (const char character : text) {
    quoted += character == '\'' ? std::string("'\"'\"'") : std::string(1, character);
  }
  return quoted + "'";
}

// A colon separates a word from its description in zsh.
std::string describe_for_zsh(std::string_view name, std::string_view text) {
  std::string word(name);
  for (std::size_t at = 0; (at = word.find(':', at)) != std::string::npos; at += 2) {
    word.insert(at, "\\");
  }
  return quote(fmt::format("{}:{}", word, text));
}

// What is written in each of the two shells that are alike.
struct Dialect {
  bool is_zsh;

  // Commands that offer what an option or argument takes.
  std::string offer(const OptionDescription& option) const {
    switch (values_of(option)) {
      case Values::kListed:
        return offer_words(fmt::format("{}", fmt::join(option.choices, " ")));
      case Values::kDevices:
        return offer_words("$(ensemble names devices 2>/dev/null)");
      case Values::kProfiles:
        return offer_words("$(ensemble names profiles 2>/dev/null)") + "; " + offer_files();
      case Values::kFiles:
        return offer_files();
      case Values::kNone:
        break;
    }
    return ":";
  }
  std::string offer_words(const std::string& words) const {
    return is_zsh ? fmt::format("compadd -- {}", words)
                  : fmt::format("COMPREPLY+=($(compgen -W \"{}\" -- \"$current\"))", words);
  }
  std::string offer_files() const {
    return is_zsh ? "_files" : "compopt -o filenames; COMPREPLY+=($(compgen -f -- \"$current\"))";
  }
  // Options or commands, with what they do where the shell shows it.
  std::string offer_described(const std::vector<std::pair<std::string, std::string>>& words) const {
    std::string list;
    for (const auto& [word, text] : words) {
      list += is_zsh ? " " + describe_for_zsh(word, text) : (list.empty() ? "" : " ") + word;
    }
    return is_zsh ? fmt::format("words_here=({} ); _describe word words_here", list)
                  : offer_words(list);
  }
};

std::string one_case(const std::string& pattern, const std::string& action) {
  return fmt::format("    {}) {} ;;\n", pattern, action);
}

// The cases of bash's and zsh's functions: which words lead to a command, which options take a
// value and which values, and what a command offers by itself.
struct Cases {
  std::string steps;
  std::string skips;
  std::string values;
  std::string option_names;
  std::string arguments;
};

void add_options(const Place& place, const Dialect& dialect, Cases& cases) {
  std::vector<std::pair<std::string, std::string>> described;
  for (const OptionDescription& option : place.command->options) {
    for (const std::string& name : option.names) {
      described.emplace_back(name, option.text);
      if (!option.value.empty()) {
        const std::string pattern = quote(place.path + " " + name);
        cases.skips += (cases.skips.empty() ? "" : "|") + pattern;
        cases.values += one_case(pattern, dialect.offer(option) + "; return 0");
      }
    }
  }
  cases.option_names += one_case(quote(place.path), dialect.offer_described(described));
}

Cases make_cases(const std::vector<Place>& places, const Dialect& dialect) {
  Cases cases;
  for (const Place& place : places) {
    add_options(place, dialect, cases);
    std::vector<std::pair<std::string, std::string>> commands;
    for (const CommandDescription& child : place.command->commands) {
      commands.emplace_back(child.name, child.text);
      cases.steps += (cases.steps.empty() ? "" : "|") + quote(place.path + " " + child.name);
    }
    if (!commands.empty()) {
      cases.arguments += one_case(quote(place.path), dialect.offer_described(commands));
    }
    const auto argument =
        std::ranges::find_if(place.command->options,
                             [](const OptionDescription& option) { return option.names.empty(); });
    if (argument != place.command->options.end()) {
      cases.arguments += one_case(quote(place.path), dialect.offer(*argument));
    }
  }
  return cases;
}

std::string bash_script(const std::vector<Place>& places) {
  const Cases cases = make_cases(places, {.is_zsh = false});
  return fmt::format(R"(# Completion of ensemble for bash; made by `ensemble completion bash`.
_ensemble() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
  local place=ensemble word index
  # --option=value is three words here.
  [[ $current == = ]] && current=
  [[ $previous == = ]] && previous=${{COMP_WORDS[COMP_CWORD-2]}}
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=${{COMP_WORDS[index]}}
    # What follows is a command of the device.
    [[ $word == -- ]] && return 0
    case "$place $word" in
    {}) place="$place $word" ;;
    {}) ((index++)) ;;
    esac
  done
  case "$place $previous" in
{}  esac
  if [[ $current == -* ]]; then
    case $place in
{}    esac
  else
    case $place in
{}    esac
  fi
}}
complete -F _ensemble ensemble
)",
                     cases.steps, cases.skips, cases.values, cases.option_names, cases.arguments);
}

std::string zsh_script(const std::vector<Place>& places) {
  const Cases cases = make_cases(places, {.is_zsh = true});
  return fmt::format(R"(#compdef ensemble
# Completion of ensemble for zsh; made by `ensemble completion zsh`.
_ensemble() {{
  local place=ensemble word index
  local -a words_here
  for ((index = 2; index < CURRENT; index++)); do
    word=$words[index]
    # What follows is a command of the device.
    [[ $word == -- ]] && return 0
    case "$place $word" in
    {}) place="$place $word" ;;
    {}) ((index++)) ;;
    esac
  done
  case "$place $words[CURRENT-1]" in
{}  esac
  if [[ $words[CURRENT] == -* ]]; then
    case $place in
{}    esac
  else
    case $place in
{}    esac
  fi
}}
# Run as a function of fpath, or sourced.
if [[ $funcstack[1] == _ensemble ]]; then _ensemble "$@"; else compdef _ensemble ensemble; fi
)",
                     cases.steps, cases.skips, cases.values, cases.option_names, cases.arguments);
}

std::string fish_values(const OptionDescription& option) {
  switch (values_of(option)) {
    case Values::kListed:
      return " -x -a " + quote(fmt::format("{}", fmt::join(option.choices, " ")));
    case Values::kDevices:
      return " -x -a '(ensemble names devices 2>/dev/null)'";
    case Values::kProfiles:
      return " -F -a '(ensemble names profiles 2>/dev/null)'";
    case Values::kFiles:
      return " -r -F";
    case Values::kNone:
      break;
  }
  return option.value.empty() ? "" : " -x";
}

// fish asks in its own words whether a command was typed.
std::string fish_condition(const Place& place) {
  std::string condition;
  std::string_view words(place.path);
  for (std::size_t space; (space = words.find(' ')) != std::string_view::npos;) {
    words.remove_prefix(space + 1);
    condition += fmt::format("{}__fish_seen_subcommand_from {}", condition.empty() ? "" : "; and ",
                             words.substr(0, words.find(' ')));
  }
  std::vector<std::string> names;
  for (const CommandDescription& child : place.command->commands) {
    names.push_back(child.name);
  }
  if (!names.empty()) {
    condition += fmt::format("{}not __fish_seen_subcommand_from {}",
                             condition.empty() ? "" : "; and ", fmt::join(names, " "));
  }
  return quote(condition);
}

std::string fish_script(const std::vector<Place>& places) {
  std::string script =
      "# Completion of ensemble for fish; made by `ensemble completion fish`.\n"
      "complete -c ensemble -f\n";
  for (const Place& place : places) {
    const std::string line = "complete -c ensemble -n " + fish_condition(place);
    for (const CommandDescription& child : place.command->commands) {
      script += fmt::format("{} -a {} -d {}\n", line, child.name, quote(child.text));
    }
    for (const OptionDescription& option : place.command->options) {
      std::string names;
      for (const std::string& name : option.names) {
        names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      script += fmt::format("{}{}{} -d {}\n", line, names, fish_values(option), quote(option.text));
    }
  }
  return script;
}

}  // namespace

std::string completion_script(const CommandDescription& command, Shell shell) {
  std::vector<Place> places;
  add_places(command, command.name, places);
  switch (shell) {
    case Shell::kBash:
      return bash_script(places);
    case Shell::kZsh:
      return zsh_script(places);
    case Shell::kFish:
      break;
  }
  return fish_script(places);
}

int print_profiles() {
  for (const device::ProfileEntry& profile : device::list_profiles()) {
    fmt::print("{}\n", profile.name);
  }
  return 0;
}

}  // namespace ensemble::control
