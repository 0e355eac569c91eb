#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace ensemble::control {

// An option or an argument of a command.
struct OptionDescription {
  // As typed, such as "-l" and "--label"; empty for an argument, which has a place instead.
  std::vector<std::string> names;
  // What stands for an argument in the usage, such as "DEVICE".
  std::string argument;
  // What kind of value follows, such as "TEXT"; empty for a flag.
  std::string value;
  // The only values that are taken, if they can be listed.
  std::vector<std::string> choices;
  std::string text;
  std::string standard;
  bool required = false;
  bool repeats = false;
};

// A command as its parser knows it: what help, manual pages and completions are made of.
struct CommandDescription {
  std::string name;
  std::string text;
  // What `--help` says at its end: explanations and examples.
  std::string footer;
  std::vector<OptionDescription> options;
  std::vector<CommandDescription> commands;
};

// Describes a parser. Hidden options and commands are left out.
CommandDescription describe(const CLI::App& app);

// The whole of `ensemble`, but for what only ensemble-client knows of its verbs.
CommandDescription describe_command_line();

}  // namespace ensemble::control
