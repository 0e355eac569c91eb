// ensemble-client: the verbs of `ensemble` that speak to a daemon. It is a program of its own, so
// that `ensemble run` starts without gRPC's libraries.

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "control/cli/attach_command.h"
#include "control/cli/completion.h"
#include "control/cli/copy_command.h"
#include "control/cli/daemon_address.h"
#include "control/cli/device_commands.h"
#include "control/cli/exec_command.h"
#include "control/cli/export_command.h"
#include "control/cli/input_command.h"
#include "control/cli/token_commands.h"
#include "control/cli/top_command.h"
#include "control/cli/verb_help.h"
#include "control/daemon_paths.h"
#include "control/manual_page.h"

namespace ensemble::control {
namespace {

constexpr int kFailed = 125;

int complain(const std::string& message) {
  fmt::print(stderr, "ensemble: {}\n", message);
  return kFailed;
}

// The verbs, their options and what they do.
class Verbs {
 public:
  Verbs();
  int execute(std::vector<std::string> arguments, std::vector<std::string> command);

 private:
  using Call = Result<void> (Client::*)(const std::string& name);
  using Change = Result<v1::Device> (Client::*)(const std::string& name);

  CLI::App& add(const char* name, const char* text, std::function<int()> action);
  void add_up();
  void add_lists();
  void add_changes();
  void add_streams();
  void add_top();
  void add_export();
  void add_exec();
  void add_input();
  void add_copies();
  void add_tokens();
  void add_texts();
  CommandDescription description(bool with_addresses) const;
  void add_selection(CLI::App& app, const char* names = "DEVICE");
  void add_format(CLI::App& app);
  int change(const DeviceCommands::Action& action) {
    return commands_.for_each(selection_, action);
  }

  CLI::App app_{"Keeps devices with the daemon ensembled.", "ensemble"};
  AddressOptions address_;
  Client client_{daemon_socket()};
  DeviceCommands commands_{client_};
  UpOptions up_;
  Selection selection_;
  std::string name_;
  ListFormat format_ = ListFormat::kTable;
  bool json_ = false;
  bool follow_ = false;
  bool force_ = false;
  bool of_process_ = false;
  std::uint32_t lines_ = 0;
  AttachOptions attach_;
  TopOptions top_;
  ExportOptions export_;
  ExecOptions exec_;
  InputOptions input_;
  CopyOptions copy_;
  TokenOptions token_;
  Shell shell_ = Shell::kBash;
  std::function<int()> action_;
};

Verbs::Verbs() {
  app_.require_subcommand(1);
  app_.fallthrough();
  app_.formatter(std::make_shared<VerbHelp>());
  add_address_options(app_, address_);
  add_up();
  add_lists();
  add_changes();
  add_streams();
  add_top();
  add_export();
  add_exec();
  add_input();
  add_copies();
  add_tokens();
  add_texts();
}

CLI::App& Verbs::add(const char* name, const char* text, std::function<int()> action) {
  CLI::App& app = *app_.add_subcommand(name, text);
  app.callback([this, action = std::move(action)] { action_ = action; });
  return app;
}

void Verbs::add_up() {
  CLI::App& app = add("up", "Make devices and start them", [this] { return commands_.up(up_); });
  app.footer(R"(What follows `--` is the devices' command; they stop when it ends. Without one they
have a shell on their console. Prints the names of the devices, one a line.

Examples:
  ensemble up phone
  ensemble up watch --name lab --count 10 -l suite=nightly
  ensemble up phone --restart on-failure -- /bin/busybox httpd -f)");
  app.add_option("PROFILE", up_.profile, "Name of a profile; `ensemble profile list` shows them")
      ->required();
  app.add_option("--name", up_.name, "What to call it; default: the profile's name and a number");
  app.add_option("--count", up_.count, "How many; with --name they are called NAME-1, NAME-2, …");
  app.add_option("-l,--label", up_.labels, "KEY=VALUE, to find it by; may be given several times");
  app.add_option("--cpus", up_.cpus, "Number of CPUs; default: the profile's");
  app.add_option("--memory", up_.memory, "RAM, such as 512M or 2G; default: the profile's");
  app.add_option("--kernel", up_.kernel, "Kernel to boot instead of Ensemble's: a PVH ELF");
  app.add_option("--rootfs", up_.rootfs, "Root file system to use, a newc cpio archive");
  app.add_option("--disk", up_.disk, "Raw image of a disk, which the device may write");
  app.add_option("--engine", up_.engine,
                 "auto, kvm, libvirt or libvirt:URI; auto: QEMU where KVM cannot be used")
      ->capture_default_str();
  app.add_option("--restart", up_.restart, "When to start it again that stopped by itself")
      ->check(CLI::IsMember({"never", "on-failure", "always"}))
      ->capture_default_str();
}

void Verbs::add_lists() {
  CLI::App& ls =
      add("ls", "List devices", [this] { return commands_.list(selection_, false, format_); });
  add_selection(ls);
  add_format(ls);
  CLI::App& ps = add("ps", "List the devices that run",
                     [this] { return commands_.list(selection_, true, format_); });
  add_selection(ps);
  add_format(ps);
  CLI::App& inspect = add("inspect", "Show all that is known of devices", [this] {
    const bool is_table = format_ == ListFormat::kTable || format_ == ListFormat::kWide;
    return commands_.inspect(selection_, is_table ? ListFormat::kYaml : format_);
  });
  add_selection(inspect);
  add_format(inspect);
}

void Verbs::add_changes() {
  const auto add_call = [this](const char* name, const char* text, Call call) {
    add_selection(add(name, text, [this, call] {
      return change([this, call](const std::string& device) { return (client_.*call)(device); });
    }));
  };
  const auto add_change = [this](const char* name, const char* text, Change call) {
    add_selection(add(name, text, [this, call] {
      return change([this, call](const std::string& device) -> Result<void> {
        auto changed = (client_.*call)(device);
        return changed ? Result<void>() : std::unexpected(changed.error());
      });
    }));
  };
  add_call("start", "Start devices that do not run", &Client::start);
  add_call("stop", "Switch devices off", &Client::stop);
  add_change("pause", "Stop devices' processors until they are resumed", &Client::pause);
  add_change("resume", "Let paused devices go on", &Client::resume);
  add_change("reset", "Start running devices from the beginning", &Client::reset);
  CLI::App& rm = add("rm", "Delete devices and their logs",
                     [this] { return commands_.remove(selection_, force_); });
  add_selection(rm);
  rm.add_flag("-f,--force", force_, "Also those that run");
}

void Verbs::add_streams() {
  CLI::App& attach = add("attach", "Make the terminal a device's console", [this] {
    const auto ended = attach_to_console(client_, "devices/" + name_, attach_);
    return ended ? 0 : complain(ended.error().message());
  });
  attach.footer("Ctrl-A x leaves the console, Ctrl-A a sends Ctrl-A; the device goes on.");
  attach.add_option("DEVICE", name_, "Name of a device, or the first digits of its ID")->required();
  attach.add_flag("--read-only", attach_.read_only, "Only look");
  attach.add_option("--scrollback", attach_.scrollback_bytes,
                    "How many bytes that were printed before to show first");
  CLI::App& logs = add("logs", "Show what a device has printed",
                       [this] { return commands_.logs(name_, follow_, lines_, of_process_); });
  logs.add_option("DEVICE", name_, "Name of a device, or the first digits of its ID")->required();
  logs.add_flag("-f,--follow", follow_, "Go on with what it prints from now on");
  logs.add_option("-n,--tail", lines_, "Only so many lines at the end");
  logs.add_flag("--process", of_process_, "What its process on this host logged instead");
  CLI::App& events = add("events", "Tell what happens to devices, as it happens",
                         [this] { return commands_.events(selection_, json_); });
  events.add_option("-l,--label", selection_.filters,
                    "Only devices with KEY=VALUE, or state=STATE");
  events.add_flag("--json", json_, "One JSON object a line");
}

void Verbs::add_top() {
  CLI::App& app = add("top", "Show what devices use, as it changes",
                      [this] { return show_top(client_, selection_, format_, top_); });
  app.footer(
      R"(On a terminal the table is shown again every second; q or Ctrl-C ends it. In a pipe, or with
--once, it is printed once, after two readings. json and yaml print what the API says: counters, and
the host's monotonic clock when they were read.

CPU% and VCPU% are of one processor, of all threads of the device's process and of those of its
virtual processors. RAM is the guest's that the host has given, OVERHEAD the process's own memory.
EXITS/S are exits from the guest to the process, REQS/S requests to its virtio devices. BOOT is how
far the device's boot has come and after what time: its machine runs, its first driver or all
drivers of virtio devices are ready. The busiest device comes first.

Examples:
  ensemble top
  ensemble top -l suite=nightly --interval 5
  ensemble top --once -o wide lab-1 lab-2)");
  add_selection(app);
  add_format(app);
  app.add_flag("--once", top_.once, "Print one table and end");
  app.add_option("--interval", top_.interval, "Seconds between two readings, 0.1 to 60")
      ->capture_default_str();
}

void Verbs::add_export() {
  CLI::App& app = add("export", "Print a device as a domain of libvirt", [this] {
    const auto xml = export_domain(client_, export_);
    if (!xml) {
      return complain(xml.error().message());
    }
    fmt::print("{}", *xml);
    return 0;
  });
  app.footer(
      R"(`virsh define` takes what is printed. The domain boots from a file that is written beside it.

Example:
  ensemble export watch > watch.xml && virsh -c qemu:///session create watch.xml --console)");
  app.add_option("NAME", export_.name, "A device of the daemon, a profile, or a profile's file")
      ->required();
  app.add_option("--format", export_.format, "libvirt")
      ->check(CLI::IsMember({"libvirt"}))
      ->capture_default_str();
  app.add_option("--initrd", export_.initial_ramdisk,
                 "The file to boot from; default: NAME.initrd in this directory");
}

void Verbs::add_exec() {
  CLI::App& app = add("exec", "Run a program in a running device",
                      [this] { return run_in_device(client_, "devices/" + name_, exec_); });
  app.footer(
      R"(What follows `--` is the program and its arguments; it is looked for in PATH. Signals that
this command gets, such as that of Ctrl-C, go to the program.

Exit code:
  the program's own, or
  125      it could not be asked for, and why was said
  126      it was found but could not be run
  127      it was not found
  128+N    signal N ended it

Examples:
  ensemble exec phone-1 -- uname -a
  ensemble exec -it phone-1 -- sh
  echo 6*7 | ensemble exec -i phone-1 -- bc
  ensemble exec --env LANG=C --workdir /tmp --user 1000 phone-1 -- env)");
  app.add_option("DEVICE", name_, "Name of a device, or the first digits of its ID")->required();
  app.add_flag("-i,--interactive", exec_.interactive, "Standard input goes to the program");
  app.add_flag("-t,--tty", exec_.on_terminal, "Give the program a terminal, which is this one");
  app.add_option("-e,--env", exec_.environment, "NAME=VALUE; may be given several times");
  app.add_option("-w,--workdir", exec_.directory, "Where to start it; default: /");
  app.add_option("-u,--user", exec_.user, "UID or UID:GID, by number; default: 0");
}

void Verbs::add_input() {
  CLI::App& app =
      *app_.add_subcommand("input", "Press, touch, turn or switch something of a running device");
  app.require_subcommand(1);
  app.footer(
      R"(Keys and switches are those of the device's profile; places are in pixels from the upper left corner.

Examples:
  ensemble input phone-1 key volume-up
  ensemble input phone-1 tap 540 1200
  ensemble input phone-1 swipe 540 2000 540 400 --milliseconds 250
  ensemble input watch-1 rotate -3
  ensemble input tablet-1 switch lid on)");
  app.add_option("DEVICE", input_.device, "Name of a device")->required();
  const auto add_part = [&](const char* name, const char* text, auto act) {
    CLI::App& part = *app.add_subcommand(name, text);
    part.callback([this, act] {
      action_ = [this, act] {
        const Result<void> done = act(client_, input_);
        return done ? 0 : complain(done.error().message());
      };
    });
    return &part;
  };
  const auto add_duration = [&](CLI::App* part, std::uint32_t usual) {
    constexpr std::uint32_t kLongest = 60'000;
    part->add_option("--milliseconds", input_.milliseconds,
                     fmt::format("How long it takes, 0 to {}; default: {}", kLongest, usual))
        ->check(CLI::Range(0U, kLongest));
    part->preparse_callback([this, usual](std::size_t) { input_.milliseconds = usual; });
  };
  CLI::App* key = add_part("key", "Press a button and let it go", press_key);
  key->add_option("KEY", input_.part, "Such as power or volume-up")->required();
  add_duration(key, 50);
  CLI::App* tap = add_part("tap", "Touch the screen and let go", tap_screen);
  CLI::App* swipe = add_part("swipe", "Draw a finger across the screen", swipe_screen);
  for (CLI::App* const part : {tap, swipe}) {
    part->add_option("X", input_.x, "From the left, in pixels")->required();
    part->add_option("Y", input_.y, "From the top, in pixels")->required();
  }
  swipe->add_option("X2", input_.end_x, "Where it ends, from the left")->required();
  swipe->add_option("Y2", input_.end_y, "Where it ends, from the top")->required();
  add_duration(tap, 50);
  add_duration(swipe, 300);
  add_part("rotate", "Turn the crown", rotate_crown)
      ->add_option("DETENTS", input_.detents, "How far, -1000 to 1000; positive: away from you")
      ->required();
  CLI::App* toggle = add_part("switch", "Set a switch", set_switch);
  toggle->add_option("SWITCH", input_.part, "Such as lid or dock")->required();
  toggle->add_option("POSITION", input_.on, "on or off")
      ->required()
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, bool>{{"on", true}, {"off", false}}));
}

void Verbs::add_copies() {
  CLI::App& push = add("push", "Copy files into a running device",
                       [this] { return push_files(client_, copy_); });
  push.footer(
      R"(The last one is DEVICE:PATH, with an absolute path. Where that is a directory, ends with '/', or
where there are several files, they are copied into it. A file is there whole, with a right
checksum, or not at all.

Examples:
  ensemble push app.bin phone-1:/data/
  ensemble push -r tests phone-1:/tmp
  ensemble push --resume big.img phone-1:/data/big.img)");
  push.add_option("FILE", copy_.places, "Files, then DEVICE:PATH")->required()->expected(2, -1);
  CLI::App& pull = add("pull", "Copy files out of a running device",
                       [this] { return pull_files(client_, copy_); });
  pull.footer(
      R"(The last one is a place on this host. Where that is a directory, ends with '/', or where there
are several files, they are copied into it. A file is there whole, with a right checksum, or not at
all; what a broken copy leaves is called .NAME.part.

Examples:
  ensemble pull phone-1:/data/log.txt .
  ensemble pull -r phone-1:/data/results results
  ensemble pull -o json phone-1:/etc/passwd phone-2:/etc/passwd copies/)");
  pull.add_option("DEVICE:PATH", copy_.places, "Files in devices, then the place")
      ->required()
      ->expected(2, -1);
  for (CLI::App* const app : {&push, &pull}) {
    app->add_flag("-r,--recursive", copy_.recursive, "Directories too, with what is in them");
    app->add_flag("--resume", copy_.resume, "Go on with what a broken copy has left");
    app->add_option("-o,--output", copy_.json, "text (nothing, but progress on a terminal) or json")
        ->transform(
            CLI::CheckedTransformer(std::map<std::string, bool>{{"text", false}, {"json", true}}));
  }
}

void Verbs::add_tokens() {
  CLI::App& app = *app_.add_subcommand("token", "Make, list and revoke bearer tokens of a daemon");
  app.require_subcommand(1);
  app.footer(
      R"(The daemon takes the tokens of the file that its --tokens names, and notices changes of it.

Example:
  ensemble token create ci --role operator --expires 30d --file tokens.yaml)");
  const auto add_verb = [&](const char* name, const char* text, auto run) {
    CLI::App& verb = *app.add_subcommand(name, text);
    verb.callback([this, run] {
      action_ = [this, run] {
        const Result<void> done = run(token_);
        return done ? 0 : complain(done.error().message());
      };
    });
    verb.add_option("--file", token_.file, "The file of tokens")->capture_default_str();
    return &verb;
  };
  CLI::App* create = add_verb("create", "Make a token and print it, this once", create_token);
  create->add_option("NAME", token_.name, "What to call it")->required();
  create->add_option("--role", token_.role, "viewer, operator or admin")->required();
  create
      ->add_option("--expires", token_.expires, "How long it is good, such as 12h or 30d; or never")
      ->capture_default_str();
  add_verb("list", "List the tokens", list_tokens);
  add_verb("revoke", "Take a token no more", revoke_token)
      ->add_option("NAME", token_.name, "Its name")
      ->required();
}

// Texts that are made of the other verbs.
void Verbs::add_texts() {
  CLI::App& completion =
      add("completion", "Print what makes a shell complete this program's words", [this] {
        fmt::print("{}", completion_script(description(true), shell_));
        return 0;
      });
  completion.footer(R"(Debian's package installs them. Without it:
  source <(ensemble completion bash)
  ensemble completion zsh > ~/.zsh/_ensemble, in a folder of fpath
  ensemble completion fish > ~/.config/fish/completions/ensemble.fish)");
  completion.add_option("SHELL", shell_, "bash, zsh or fish")
      ->required()
      ->transform(CLI::CheckedTransformer(std::map<std::string, Shell>{
          {"bash", Shell::kBash}, {"zsh", Shell::kZsh}, {"fish", Shell::kFish}}));
  add("manual", "Print the manual page", [this] {
    fmt::print("{}", manual_page(description(false), 1, "ensembled(8)"));
    return 0;
  }).group("");
  CLI::App& names = add("names", "Print names, one a line", [this] {
    return name_ == "devices" ? commands_.print_names() : print_profiles();
  });
  names.group("");
  names.add_option("KIND", name_)->required()->check(CLI::IsMember({"devices", "profiles"}));
}

CommandDescription Verbs::description(bool with_addresses) const {
  CommandDescription whole = describe_command_line();
  for (CommandDescription& verb : describe(app_).commands) {
    const auto known = std::ranges::find(whole.commands, verb.name, &CommandDescription::name);
    if (known != whole.commands.end()) {
      *known = std::move(verb);
      if (with_addresses) {
        add_address_options(*known);
      }
    }
  }
  return whole;
}

void Verbs::add_selection(CLI::App& app, const char* names) {
  app.add_option(names, selection_.names, "Names of devices, or the first digits of their IDs");
  app.add_option("-l,--label", selection_.filters,
                 "Devices with KEY=VALUE, KEY!=VALUE, KEY, or state=STATE");
}

void Verbs::add_format(CLI::App& app) {
  app.add_option("-o,--output", format_, "table, wide, json or yaml")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, ListFormat>{{"table", ListFormat::kTable},
                                                                    {"wide", ListFormat::kWide},
                                                                    {"json", ListFormat::kJson},
                                                                    {"yaml", ListFormat::kYaml}}));
}

int Verbs::execute(std::vector<std::string> arguments, std::vector<std::string> command) {
  try {
    std::ranges::reverse(arguments);  // CLI11 takes the last argument first.
    app_.parse(std::move(arguments));
  } catch (const CLI::Success& request) {
    return app_.exit(request);  // --help.
  } catch (const CLI::ParseError& error) {
    return complain(std::string(error.what()) + " (`ensemble --help` shows the usage)");
  }
  if (!command.empty() && !app_.got_subcommand("up") && !app_.got_subcommand("exec")) {
    return complain(fmt::format(
        "only `up` and `exec` take a command behind `--`, and '{}' is there", command.front()));
  }
  (app_.got_subcommand("exec") ? exec_.command : up_.command) = std::move(command);
  if (const auto verb = app_.get_subcommands().front()->get_name(); !asks_a_daemon(verb)) {
    const auto problem = address_problem(verb, address_);
    return problem ? complain(*problem) : action_();
  }
  auto address = find_daemon(address_);
  if (!address) {
    return complain(address.error().message());
  }
  client_.set_address(std::move(*address));
  return action_();
}

}  // namespace
}  // namespace ensemble::control

int main(int count, char** values) {
  const std::vector<std::string> arguments(values + 1, values + count);
  const auto end_of_options = std::ranges::find(arguments, "--");
  const auto command = end_of_options + (end_of_options == arguments.end() ? 0 : 1);
  ensemble::control::Verbs verbs;
  const int code = verbs.execute({arguments.begin(), end_of_options}, {command, arguments.end()});
  if (std::fflush(nullptr) == 0) {
    // At once: to end gRPC and its threads one by one takes longer than a call.
    ::_exit(code);
  }
  return code;
}
