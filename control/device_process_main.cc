#include "control/device_process_main.h"

#include <fcntl.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>

#include "control/device_process.h"
#include "control/log.h"
#include "control/vmm_child.h"

namespace ensemble::control {
namespace {

struct Arguments {
  std::string log_level = "warn";
  pid_t parent = 0;
  std::string folder;  // Empty: for one controller.
};

std::optional<Arguments> parse(int count, char** values) {
  constexpr std::string_view kLogLevel = "--log-level=";
  constexpr std::string_view kParent = "--parent=";
  constexpr std::string_view kServe = "--serve=";
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    std::string_view argument = values[i];
    if (argument.starts_with(kLogLevel)) {
      arguments.log_level = argument.substr(kLogLevel.size());
    } else if (argument.starts_with(kParent)) {
      argument.remove_prefix(kParent.size());
      std::from_chars(argument.data(), argument.data() + argument.size(), arguments.parent);
    } else if (argument.starts_with(kServe) && argument.size() > kServe.size()) {
      arguments.folder = argument.substr(kServe.size());
    } else {
      return std::nullopt;
    }
  }
  return arguments;
}

bool is_socket(int descriptor) {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

// Threads of this process need little stack. In one smaller than a large page the host cannot
// spend a large page on the few pages that are touched.
void keep_stacks_small() {
  constexpr std::size_t kStackSize = std::size_t{1} << 20;
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kStackSize);
  ::pthread_setattr_default_np(&attributes);
  ::pthread_attr_destroy(&attributes);
}

// Ends this process with its parent, whichever way that one goes.
bool follow_parent(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  return parent == 0 || ::getppid() == parent;
}

int run(const Arguments& arguments, const MachineMaker& make) {
  set_log_level(arguments.log_level);
  keep_stacks_small();
  const bool served = !arguments.folder.empty();
  const int last = served ? kControlDescriptor : kConsoleDescriptor;
  for (int descriptor = kControlDescriptor; descriptor <= last; ++descriptor) {
    ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  }
  // What the controller's parent left open.
  ::close_range(static_cast<unsigned>(last) + 1, ~0U, 0);
  ::signal(SIGPIPE, SIG_IGN);

  auto process = served ? DeviceProcess::create_served(vmm::FileDescriptor(kControlDescriptor),
                                                       arguments.folder, make)
                        : DeviceProcess::create(vmm::FileDescriptor(kControlDescriptor),
                                                vmm::FileDescriptor(kConsoleDescriptor), make);
  const Result<void> ran = process ? (*process)->run() : std::unexpected(process.error());
  if (!ran) {
    spdlog::error("{}", ran.error().message());
    return EXIT_FAILURE;
  }
  // Not by return: KVM takes milliseconds for each doorbell that is taken away while the machine
  // exists, and none when the whole machine goes with its process.
  ::_exit(EXIT_SUCCESS);
}

}  // namespace

int device_process_main(int count, char** values, const char* name,
                        const std::function<MachineMaker(const std::string& folder)>& prepare) {
  const auto arguments = parse(count, values);
  if (!arguments || !is_socket(kControlDescriptor) ||
      (arguments->folder.empty() && !is_socket(kConsoleDescriptor))) {
    const std::string message = std::string(name) +
                                " runs one device for the ensemble command, which starts it; see "
                                "`ensemble run --help`\n";
    (void)!::write(STDERR_FILENO, message.data(), message.size());
    return 125;
  }
  const bool goes_on = !arguments->folder.empty() || follow_parent(arguments->parent);
  return goes_on ? run(*arguments, prepare(arguments->folder)) : EXIT_FAILURE;
}

}  // namespace ensemble::control
