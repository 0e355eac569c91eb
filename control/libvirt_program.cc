#include "control/libvirt_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <vector>

#include "control/spawn_settings.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kPatience{20};
constexpr std::chrono::seconds kHostPatience{2};

// What comes until the end; false: it takes too long.
bool read_to_end(int descriptor, std::string& text, std::chrono::seconds patience) {
  const auto deadline = Clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd ready{descriptor, POLLIN, 0};
    const int count = left > 0 ? ::poll(&ready, 1, static_cast<int>(left)) : 0;
    if (count == 0) {
      return false;
    }
    std::array<char, 512> chunk;
    const ssize_t size = count < 0 ? -1 : ::read(descriptor, chunk.data(), chunk.size());
    if (size == 0 || (size < 0 && errno != EINTR)) {
      return true;
    }
    text.append(chunk.data(), size < 0 ? 0 : static_cast<std::size_t>(size));
  }
}

// A file of these bytes, to be read from its beginning. Empty: it cannot be had.
vmm::FileDescriptor file_of(const std::string& bytes) {
  vmm::FileDescriptor file(::memfd_create("input", MFD_CLOEXEC));
  for (std::size_t done = 0; file && done < bytes.size();) {
    const ssize_t count =
        ::pwrite(file.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (count <= 0) {
      return {};
    }
    done += static_cast<std::size_t>(count);
  }
  return file;
}

pid_t wait_for(pid_t process, int& status) {
  pid_t ended = -1;
  while ((ended = ::waitpid(process, &status, 0)) < 0 && errno == EINTR) {
  }
  return ended;
}

Result<std::string> run(const std::string& program, std::vector<std::string> arguments,
                        const std::string& input, std::chrono::seconds patience = kPatience) {
  std::array<int, 2> ends{};
  const vmm::FileDescriptor file = file_of(input);
  if (!file || ::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return std::unexpected(Error::from_errno("cannot make files for '" + program + "'", errno));
  }
  const vmm::FileDescriptor ours(ends[0]);
  vmm::FileDescriptor theirs(ends[1]);
  SpawnSettings settings;
  settings.place(file.get(), STDIN_FILENO);
  settings.place(theirs.get(), STDOUT_FILENO);
  settings.open(STDERR_FILENO, "/dev/null", O_WRONLY);
  arguments.insert(arguments.begin(), program.substr(program.rfind('/') + 1));
  std::vector<char*> words;
  for (std::string& argument : arguments) {
    words.push_back(argument.data());
  }
  words.push_back(nullptr);
  pid_t process = -1;
  if (const int failed = settings.spawn(process, program, words.data()); failed != 0) {
    return std::unexpected(Error::from_errno("cannot execute '" + program + "'", failed));
  }
  theirs = vmm::FileDescriptor();
  std::string output;
  const bool ended = read_to_end(ours.get(), output, patience);
  if (!ended) {
    ::kill(process, SIGKILL);
  }
  int status = 0;
  if (wait_for(process, status) < 0 || (ended && status == 0)) {
    return output;
  }
  if (!ended) {
    return fail("libvirt did not answer within {} s", patience.count());
  }
  return fail("{}", output.empty() ? "'" + program + "' failed" : output);
}

}  // namespace

Result<std::string> check_libvirt(const std::string& program) {
  return run(program, {std::string(kCheckEngineArgument)}, {});
}

Result<std::string> describe_libvirt_host(const std::string& program, const std::string& socket) {
  return run(program, {std::string(kDescribeHostArgument), socket}, {}, kHostPatience);
}

Result<std::string> make_domain_xml(const std::string& program,
                                    const ensemble::vmm::v1::Configuration& configuration,
                                    const std::string& name, const std::string& initial_ramdisk) {
  return run(program, {std::string(kDomainXmlArgument), name, initial_ramdisk},
             configuration.SerializeAsString());
}

}  // namespace ensemble::control
