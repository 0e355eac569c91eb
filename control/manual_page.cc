#include "control/manual_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "control/version.h"

namespace ensemble::control {
namespace {

// Text that troff prints as it is: no escapes, requests or typographic dashes.
std::string escape(std::string_view text) {
  std::string escaped;
  bool begins_line = true;
  for (const char character : text) {
    if (begins_line && (character == '.' || character == '\'')) {
      escaped += "\\&";
    }
    begins_line = character == '\n';
    switch (character) {
      case '\\':
        escaped += "\\e";
        break;
      case '-':
        escaped += "\\-";
        break;
      case '`':
      case '"':
        escaped += character == '"' ? "\\(dq" : "\\(ga";
        break;
      case '\'':
        escaped += "\\(aq";
        break;
      case '^':
        escaped += "\\(ha";
        break;
      case '~':
        escaped += "\\(ti";
        break;
      default:
        escaped += character;
    }
  }
  // The only character beyond ASCII that our texts have.
  for (std::size_t at; (at = escaped.find("…")) != std::string::npos;) {
    escaped.replace(at, std::string_view("…").size(), "...");
  }
  return escaped;
}

// Text as it stands, line by line: footers are laid out for terminals.
std::string literal(std::string_view text) {
  std::string lines;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    lines += escape(line) + "\n";
  }
  return lines.empty() ? "" : fmt::format(".PP\n.nf\n{}.fi\n", lines);
}

std::string usage(const CommandDescription& command, const std::string& path) {
  std::string line = fmt::format(".B {}\n", escape(path));
  const auto is_argument = [](const OptionDescription& option) { return option.names.empty(); };
  if (!std::ranges::all_of(command.options, is_argument)) {
    line += "[\\fIOPTIONS\\fR]\n";
  }
  for (const OptionDescription& option : command.options) {
    if (is_argument(option)) {
      line += fmt::format("{}\\fI{}\\fR{}{}\n", option.required ? "" : "[", escape(option.argument),
                          option.repeats ? "..." : "", option.required ? "" : "]");
    }
  }
  return line + (command.commands.empty() ? "" : "\\fICOMMAND\\fR\n");
}

std::string options(const CommandDescription& command) {
  std::string text;
  for (const OptionDescription& option : command.options) {
    text += ".TP\n";
    if (option.names.empty()) {
      text += fmt::format("\\fI{}\\fR\n", escape(option.argument));
    } else {
      text +=
          fmt::format("\\fB{}\\fR{}\n", escape(fmt::format("{}", fmt::join(option.names, ", "))),
                      option.value.empty() ? "" : fmt::format(" \\fI{}\\fR", option.value));
    }
    text += escape(option.text);
    if (!option.choices.empty()) {
      text += escape(fmt::format(" (one of: {})", fmt::join(option.choices, ", ")));
    }
    if (!option.standard.empty()) {
      text += escape(fmt::format("; default: {}", option.standard));
    }
    text += "\n";
  }
  return text;
}

std::string command_parts(const CommandDescription& command, const std::string& path) {
  std::string text;
  for (const CommandDescription& child : command.commands) {
    const std::string name = path + " " + child.name;
    text += fmt::format(".SS {}\n{}.PP\n{}.\n{}{}", escape(name), usage(child, name),
                        escape(child.text), options(child), literal(child.footer));
    text += command_parts(child, name);
  }
  return text;
}

}  // namespace

std::string manual_page(const CommandDescription& command, int section,
                        const std::string& see_also) {
  std::string title = command.name;
  std::ranges::transform(title, title.begin(), [](unsigned char character) {
    return static_cast<char>(std::toupper(character));
  });
  // What man's index shows begins with a small letter and ends without a full stop.
  std::string summary = command.text;
  if (!summary.empty()) {
    summary[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(summary[0])));
    if (summary.back() == '.') {
      summary.pop_back();
    }
  }
  std::string page = fmt::format(
      ".TH {} {} \"\" \"Ensemble {}\" \"Ensemble\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n{}"
      ".SH OPTIONS\n{}",
      title, section, kVersion, escape(command.name), escape(summary), usage(command, command.name),
      options(command));
  if (!command.commands.empty()) {
    page += ".SH COMMANDS\n" + command_parts(command, command.name);
  }
  if (!command.footer.empty()) {
    // A part's first paragraph needs no macro.
    page += ".SH NOTES\n" + literal(command.footer).substr(std::string_view(".PP\n").size());
  }
  return page + fmt::format(".SH SEE ALSO\n{}\n", escape(see_also));
}

}  // namespace ensemble::control
