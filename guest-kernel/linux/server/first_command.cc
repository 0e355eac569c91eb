#include "guest-kernel/linux/server/first_command.h"

#include <algorithm>
#include <array>

#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/program.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

using guest::Role;

constexpr std::string_view kHome = "/root";
constexpr std::array<std::string_view, 2> kShells = {"/bin/bash", "/bin/sh"};
// Of the boot package: runs the command that follows.
constexpr std::string_view kAgent = "/bin/ensemble-agent";

// Strings with a NUL each, in memory of their own.
template <std::size_t kSize>
class StringList {
 public:
  // One string out of two parts; lost if there is no room for it.
  void add(std::string_view first, std::string_view second = {}) {
    if (first.size() + second.size() < kSize - size_) {
      char* out = std::copy(first.begin(), first.end(), text_.data() + size_);
      out = std::copy(second.begin(), second.end(), out);
      *out++ = '\0';
      size_ = static_cast<std::size_t>(out - text_.data());
      ++count_;
    }
  }
  Arguments arguments() const { return {{text_.data(), size_}, count_}; }

 private:
  std::array<char, kSize> text_{};
  std::size_t size_ = 0;
  std::uint32_t count_ = 0;
};

constinit StringList<2048> environment_list;
constinit StringList<64> argument_list;

struct Given {
  Arguments command;
  std::string_view environment;  // NUL-terminated strings
};

Given given_command() {
  const guest::Resource* resource = server().info().find(Role::kArguments);
  Given given;
  if (resource == nullptr || resource->size == 0) {
    return given;
  }
  const std::string_view text{reinterpret_cast<const char*>(resource->address), resource->size};
  std::size_t end = 0;
  while (given.command.count < resource->value && end < text.size()) {
    end = std::min(text.find('\0', end), text.size() - 1) + 1;
    ++given.command.count;
  }
  given.command.text = text.substr(0, end);
  given.environment = text.substr(end);
  return given;
}

// Adds what the host says of the environment. True: it has the terminal's type.
bool add_given(std::string_view given) {
  bool has_terminal = false;
  while (!given.empty()) {
    const std::string_view entry = given.substr(0, given.find('\0'));
    environment_list.add(entry);
    has_terminal |= entry.starts_with("TERM=");
    given.remove_prefix(std::min(given.size(), entry.size() + 1));
  }
  return has_terminal;
}

// The name behind the links, such as "busybox"; empty: it is no program.
std::string_view program_name(std::string_view path) {
  const auto program = find_program(path);
  return program ? program->node->name() : std::string_view();
}

// The shells that know \w show the directory as `~`; the others at least its path.
void add_shell(Reference<Node>& directory) {
  std::string_view shell = kShells.back();
  std::string_view name;
  for (const std::string_view path : kShells) {
    name = program_name(path);
    if (!name.empty()) {
      shell = path;
      break;
    }
  }
  argument_list.add(shell);
  const guest::Resource* console = server().info().find(Role::kConsole);
  if (console != nullptr && console->value != 0) {
    argument_list.add("/dev/stdin");
  }
  Node& root = server().root();
  if (const auto home = resolve(root, root, kHome, true, nullptr);
      home && (*home)->type() == kDirectory) {
    directory = *home;
  }
  environment_list.add("USER=root");
  environment_list.add("LOGNAME=root");
  environment_list.add("SHELL=", shell);
  std::array<char, 80> prompt;
  guest::TextWriter text(prompt);
  const std::string_view product = guest::text_of(server().info().product_name);
  text.text(product.empty() ? "ensemble" : product);
  text.text(name == "bash" || name == "busybox" ? ":\\w\\$ " : ":$PWD# ");
  environment_list.add("PS1=", text.view());
}

}  // namespace

FirstCommand first_command() {
  FirstCommand first;
  Node& root = server().root();
  first.directory = Reference<Node>(&root);
  environment_list.add("HOME=", kHome);
  environment_list.add("PATH=/bin:/usr/bin:/sbin:/usr/sbin");
  const Given given = given_command();
  if (!add_given(given.environment)) {
    environment_list.add("TERM=linux");
  }
  first.arguments = given.command;
  const bool is_agent = given.command.count == 1 &&
                        given.command.text.substr(0, given.command.text.find('\0')) == kAgent;
  if (is_agent) {
    argument_list.add(kAgent);
  }
  if (given.command.count == 0 || is_agent) {
    add_shell(first.directory);
    first.arguments = argument_list.arguments();
  }
  environment_list.add("PWD=", first.directory.get() == &root ? "/" : kHome);
  first.environment = environment_list.arguments();
  return first;
}

}  // namespace linux_server
