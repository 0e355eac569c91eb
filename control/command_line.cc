#include "control/command_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "control/address_options.h"
#include "control/command_description.h"
#include "control/doctor.h"
#include "control/log.h"
#include "control/profile_command.h"
#include "control/run_command.h"
#include "control/version.h"

namespace ensemble::control {
namespace {

constexpr int kProblemFound = 1;

constexpr const char* kOverview = R"(Examples:
  ensemble run phone                       a shell on a phone
  ensemble run watch -- /bin/devices       list what a watch is made of
  ensemble run phone -- /bin/busybox uname -a
  ensemble run ./my-device.yaml --cpus 4 --memory 512M -- /bin/busybox free
  ensemble doctor                          can this host run devices?

With the daemon ensembled, which keeps devices:
  ensemble up watch --name lab --count 10  make ten watches and start them
  ensemble ls                              list devices
  ensemble attach lab-1                    its console

`ensemble COMMAND --help` tells more about each command.)";

constexpr const char* kRunHelp =
    R"(PROFILE is the name of a profile (see `ensemble profile list`) or a path to a
YAML file of your own. The terminal is the device's console. Without a COMMAND
it has a shell: /bin/bash where the root file system has it, or else /bin/sh. It
reads its commands from standard input, and its exit code is the device's.

Keys:
  Ctrl-A x  stop the device     Ctrl-A a  send Ctrl-A     Ctrl-A h  help
  Ctrl-C, Ctrl-Z and all other keys go to the device, and so does the terminal's size.

Exit code:
  the command's own, or
  125      Ensemble itself failed, and said why
  126      the command was found but could not be run
  127      the command was not found
  128+N    signal N stopped the device
  0        also if `Ctrl-A x` stopped it

Examples:
  ensemble run tablet
  ensemble run tablet -- /bin/devices
  echo "free; df" | ensemble run watch
  ensemble run phone -- /bin/busybox uname -a
  ensemble run watch --report run.json -- /bin/busybox true
  ensemble run phone --disk disk.img --memory 1G --cpus 2
  ensemble run phone --kernel vmlinuz --initrd initrd.img --append "console=ttyS0 quiet"
)";

struct ClientVerb {
  const char* name;
  const char* text;
};

// The verbs of ensemble-client, with what `--help` says of them here.
constexpr ClientVerb kClientVerbs[] = {
    {"up", "Make devices and start them"},
    {"ls", "List devices"},
    {"ps", "List the devices that run"},
    {"inspect", "Show all that is known of devices"},
    {"start", "Start devices that do not run"},
    {"stop", "Switch devices off"},
    {"pause", "Stop devices' processors until they are resumed"},
    {"resume", "Let paused devices go on"},
    {"reset", "Start running devices from the beginning"},
    {"rm", "Delete devices and their logs"},
    {"attach", "Make the terminal a device's console"},
    {"exec", "Run a program in a running device"},
    {"input", "Press, touch, turn or switch something of a running device"},
    {"push", "Copy files into a running device"},
    {"pull", "Copy files out of a running device"},
    {"logs", "Show what a device has printed"},
    {"export", "Print a device or a profile as a domain of libvirt"},
    {"events", "Tell what happens to devices, as it happens"},
    {"top", "Show what devices use, as it changes"},
    {"token", "Make, list and revoke bearer tokens of a daemon"},
};

// Prints to standard output. A closed or full output is a failure like any other.
int print(const std::string& text, int exit_code) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return exit_code;
  }
  if (errno != EPIPE) {
    fmt::print(stderr, "ensemble: {}\n",
               Error::from_errno("cannot write to standard output", errno).message());
  }
  return kEnsembleFailed;
}

int complain(const Error& error) {
  fmt::print(stderr, "ensemble: {}\n", error.message());
  return kEnsembleFailed;
}

int complain_about_usage(const std::string& message) {
  return complain(Error(message + " (`ensemble --help` shows the usage)"));
}

int print_or_complain(const Result<std::string>& text) {
  return text ? print(*text, 0) : complain(text.error());
}

int doctor(OutputFormat format) {
  const auto files = InstallationFiles::locate();
  if (!files) {
    return complain(files.error());
  }
  const Diagnosis diagnosis = diagnose(*files, kvm_device());
  return print(format == OutputFormat::kJson ? to_json(diagnosis) : to_text(diagnosis),
               diagnosis.ready() ? 0 : kProblemFound);
}

int validate(const std::string& path, OutputFormat format) {
  const ValidationOutcome outcome = validate_profile_as(path, format);
  if (!outcome.valid && format == OutputFormat::kText) {
    fmt::print(stderr, "ensemble: {}", outcome.output);
    return kEnsembleFailed;
  }
  return print(outcome.output, outcome.valid ? 0 : kEnsembleFailed);
}

int run(RunOptions options, const std::string& log_level) {
  options.log_level = log_level;
  const Result<int> exit_code = run_device(options);
  return exit_code ? *exit_code : complain(exit_code.error());
}

// Goes on as ensemble-client, which lies beside this program, with all that it is to be told. Comes
// back when that fails.
int run_client(const std::vector<std::string>& arguments, const std::vector<std::string>& command) {
  const auto program = InstallationFiles::locate();
  if (!program) {
    return complain(program.error());
  }
  const std::string client = program->client_executable();
  std::vector<std::string> words = {client};
  words.insert(words.end(), arguments.begin(), arguments.end());
  if (!command.empty()) {
    words.emplace_back("--");
    words.insert(words.end(), command.begin(), command.end());
  }
  std::vector<char*> pointers;
  for (std::string& word : words) {
    pointers.push_back(word.data());
  }
  pointers.push_back(nullptr);
  ::execv(client.c_str(), pointers.data());
  if (errno == ENOENT) {
    return complain(
        Error("'" + client +
              "' is missing: 'ninja -C build/release control/all' builds it and the daemon"));
  }
  return complain(Error::from_errno("cannot run '" + client + "'", errno));
}

class RunHelp : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: ensemble run PROFILE [OPTIONS] [-- COMMAND [ARGUMENT...]]\n";
  }
};

// The command line's grammar and the values parsed by it.
class Grammar {
 public:
  Grammar();

  CommandDescription description() const { return describe(app_); }

  // Parses and runs the command. `command` is what followed `--`, if anything did.
  int execute(std::vector<std::string> arguments, std::vector<std::string> command);

 private:
  void add_run();
  void add_profile();
  void add_doctor();
  void add_daemon_verbs();
  // A verb of ensemble-client, which does its help too.
  CLI::App& add_client_verb(const char* name, const char* text);
  void add_output_option(CLI::App& app);
  // Of a verb that asks no daemon.
  void set_action(CLI::App& app, std::function<int()> action);
  int run_client_verb(const CLI::App& verb);

  CLI::App app_{"Runs simulated phones, tablets, watches and devices of your own on KVM.",
                "ensemble"};
  RunOptions run_;
  std::string profile_;
  OutputFormat format_ = OutputFormat::kText;
  AddressOptions address_;
  std::string log_level_ = "warn";
  std::function<int()> action_;
};

Grammar::Grammar() {
  app_.require_subcommand(1);
  app_.footer(kOverview);
  app_.set_version_flag("--version", fmt::format("ensemble {}", kVersion));
  app_.add_option("--log-level", log_level_, "How much is logged to standard error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  app_.fallthrough();
  add_address_options(app_, address_);
  add_run();
  add_profile();
  add_doctor();
  add_daemon_verbs();
  CLI::App& version = *app_.add_subcommand("version", "Print the version");
  set_action(version, [] { return print(fmt::format("ensemble {}\n", kVersion), 0); });
}

void Grammar::add_run() {
  CLI::App& app = *app_.add_subcommand("run", "Run a device and a command in it");
  app.formatter(std::make_shared<RunHelp>());
  app.footer(kRunHelp);
  app.add_option("PROFILE", run_.profile, "Name of a profile, or path to a YAML file")->required();
  app.add_option("--name", run_.name, "What to call the device; default: the profile's name");
  app.add_option("--engine", run_.engine,
                 "auto, kvm, libvirt or libvirt:URI; auto: QEMU where KVM cannot be used")
      ->capture_default_str();
  app.add_option("--cpus", run_.cpus, "Number of CPUs, 1 to 8; default: the profile's");
  app.add_option("--memory", run_.memory, "RAM, such as 512M or 2G; default: the profile's");
  app.add_option("--kernel", run_.kernel,
                 "Kernel to boot instead of Ensemble's: Linux (vmlinuz) or a PVH ELF");
  app.add_option("--rootfs,--initrd", run_.rootfs,
                 "Root file system to use, a newc cpio archive; scripts/rootfs makes them. Linux's "
                 "initial RAM disk, with its --kernel");
  app.add_option("--append", run_.append,
                 "Command line of a --kernel, which is then started as Linux is; default for "
                 "Linux: console=ttyS0");
  app.add_option("--disk", run_.disk, "Raw image of a disk, which the device may write");
  app.add_option("--network", run_.network,
                 "Network of a --kernel: none, user (a private one that user-mode sockets connect "
                 "to the host's) or tap:NAME; default for Linux: the profile's");
  app.add_option("--balloon", run_.balloon,
                 "How much of its memory Linux, as --kernel, is to leave to the host, such as 64M");
  app.add_option("--vsock", run_.vsock,
                 "Unix socket that leads to the sockets (AF_VSOCK) of Linux, as --kernel; the "
                 "host's port N is the Unix socket PATH_N");
  app.add_option("--world", run_.world, "Recording in CSV of what the sensors measure");
  app.add_option("--report", run_.report,
                 "Write times, memory, exits and missed system calls to this file, as JSON");
  set_action(app, [this] { return run(run_, log_level_); });
}

void Grammar::add_profile() {
  CLI::App& app = *app_.add_subcommand("profile", "List, show and check profiles");
  app.require_subcommand(1);
  CLI::App& list = *app.add_subcommand("list", "List the profiles that can be named");
  add_output_option(list);
  set_action(list, [this] { return print_or_complain(list_profiles_as(format_)); });

  CLI::App& show = *app.add_subcommand("show", "Show a profile with all that it inherits");
  show.add_option("PROFILE", profile_, "Name of a profile, or path to a YAML file")->required();
  add_output_option(show);
  set_action(show, [this] { return print_or_complain(show_profile_as(profile_, format_)); });

  CLI::App& check =
      *app.add_subcommand("validate", "Check a profile: exit code 0 if it is valid, 125 if not");
  check.add_option("FILE", profile_, "Path to a YAML file")->required();
  add_output_option(check);
  set_action(check, [this] { return validate(profile_, format_); });
}

void Grammar::add_doctor() {
  CLI::App& app = *app_.add_subcommand(
      "doctor", "Tell whether this host can run devices, and how to mend what it lacks");
  app.footer("Exit code: 0 if it can, 1 if it cannot.");
  add_output_option(app);
  set_action(app, [this] { return doctor(format_); });
}

void Grammar::add_daemon_verbs() {
  for (const ClientVerb& verb : kClientVerbs) {
    add_client_verb(verb.name, verb.text).group("Commands of the daemon");
  }
  add_client_verb("completion", "Print what makes a shell complete this program's words");
  // For the shells' completions and the build.
  add_client_verb("names", "Print names of devices or profiles").group("");
  add_client_verb("manual", "Print the manual page").group("");
}

CLI::App& Grammar::add_client_verb(const char* name, const char* text) {
  CLI::App& app = *app_.add_subcommand(name, text);
  app.set_help_flag();
  app.prefix_command();
  app.fallthrough(false);
  app.callback([this, &app] { action_ = [this, &app] { return run_client_verb(app); }; });
  return app;
}

int Grammar::run_client_verb(const CLI::App& verb) {
  std::vector<std::string> arguments = address_.as_arguments();
  arguments.push_back(verb.get_name());
  const std::vector<std::string> rest = verb.remaining();
  arguments.insert(arguments.end(), rest.begin(), rest.end());
  return run_client(arguments, run_.command);
}

void Grammar::set_action(CLI::App& app, std::function<int()> action) {
  app.callback([this, &app, action = std::move(action)] {
    action_ = [this, &app, action] {
      const std::vector<std::string> address = address_.as_arguments();
      return address.empty()
                 ? action()
                 : complain_about_usage(fmt::format("`{}` asks no daemon, and {} says where one is",
                                                    app.get_name(), address.front()));
    };
  });
}

void Grammar::add_output_option(CLI::App& app) {
  app.add_option("--output", format_, "text or json")
      ->transform(CLI::CheckedTransformer(std::map<std::string, OutputFormat>{
          {"text", OutputFormat::kText}, {"json", OutputFormat::kJson}}));
}

int Grammar::execute(std::vector<std::string> arguments, std::vector<std::string> command) {
  try {
    std::ranges::reverse(arguments);  // CLI11 takes the last argument first.
    app_.parse(std::move(arguments));
  } catch (const CLI::Success& request) {
    return app_.exit(request);  // --help and --version.
  } catch (const CLI::RequiredError& error) {
    const std::vector<std::string> unknown = app_.remaining(true);
    return complain_about_usage(
        unknown.empty() ? error.what()
                        : fmt::format("'{}' is no command or option here", unknown.front()));
  } catch (const CLI::ParseError& error) {
    return complain_about_usage(error.what());
  }
  run_.command = std::move(command);
  set_log_level(log_level_);
  return action_();
}

}  // namespace

CommandDescription describe_command_line() {
  return Grammar().description();
}

int run_command_line(std::span<const char* const> arguments) {
  const auto end_of_options = std::ranges::find(
      arguments, std::string_view("--"), [](const char* text) { return std::string_view(text); });
  std::vector<std::string> command;
  if (end_of_options != arguments.end()) {
    command.assign(end_of_options + 1, arguments.end());
  }
  // All that follows such a verb is the client's: the grammar, which takes a while to make, would
  // only pass it on.
  const bool is_for_client =
      !arguments.empty() && std::ranges::any_of(kClientVerbs, [&](const ClientVerb& verb) {
        return std::string_view(verb.name) == arguments.front();
      });
  if (is_for_client) {
    return run_client({arguments.begin(), end_of_options}, command);
  }
  return Grammar().execute({arguments.begin(), end_of_options}, std::move(command));
}

}  // namespace ensemble::control
