#include "tests/contract/comparison.h"

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <future>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"

namespace ensemble::contract {
namespace {

using integration::Arguments;
using integration::ChildProcess;
using integration::Outcome;
using std::chrono::minutes;
using std::chrono::seconds;

const std::string kFolder = ENSEMBLE_CONTRACT_FOLDER;
// After so many machines that stopped in the middle the rest counts as not run.
constexpr int kMaximumMachines = 30;
constexpr int kShownDifferences = 6;

// So many hosts or machines run side by side, each with every so manieth behaviour: most wait more
// than they compute.
constexpr std::size_t kParts = 4;

struct Part {
  std::size_t number = 0;
  std::size_t count = 1;

  std::string name() const { return std::to_string(number) + "/" + std::to_string(count); }
};

// An empty directory below a tmpfs if there is one, as the guest's /tmp is; all users may enter.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    for (const char* parent : {"/dev/shm", "/tmp"}) {
      path_ = std::string(parent) + "/contract-XXXXXX";
      if (::mkdtemp(path_.data()) != nullptr && ::chmod(path_.c_str(), 0711) == 0) {
        return;
      }
    }
    throw std::runtime_error("no directory for temporary files can be made");
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string path_in_guest(Linking linking) {
  return linking == Linking::kStatic ? "/test/contract" : "/test/contract-dynamic";
}

// `disk`: the image whose file system the behaviours use; empty: memory.
Arguments guest_command(Linking linking, const Arguments& words, const std::string& disk = {}) {
  Arguments command = {"run", "phone", "--initrd", kFolder + "/contract.cpio"};
  if (disk.empty()) {
    command.push_back("--");
  } else {
    command.insert(command.end(), {"--disk", disk, "--", "/bin/busybox", "env", "TMPDIR=/data"});
  }
  command.push_back(path_in_guest(linking));
  command.insert(command.end(), words.begin(), words.end());
  return command;
}

// How long a machine may be silent before it counts as hung: longer than a behaviour's own limit.
seconds longest_behaviour() {
  return seconds(integration::on_lane_s() ? 120 : 60);
}

std::string limit_of_behaviour() {
  return std::to_string(integration::on_lane_s() ? 60 : 40);
}

std::string ending_of_machine(const Outcome& outcome) {
  return outcome.timed_out ? "the machine did not end"
                           : "the machine ended with " + std::to_string(outcome.exit_code) + ": " +
                                 outcome.errors.substr(0, 500);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

}  // namespace

bool operator==(const Result& one, const Result& other) {
  return one.output == other.output && one.ending == other.ending;
}

Transcript read_transcript(std::string text) {
  std::erase(text, '\r');
  Transcript transcript;
  constexpr std::string_view kBegin = "=== begin ";
  constexpr std::string_view kEnd = "=== end ";
  std::size_t at = 0;
  for (;;) {
    const std::size_t begin = text.find(kBegin, at);
    if (begin == std::string::npos) {
      transcript.done = text.find("=== done", at) != std::string::npos;
      return transcript;
    }
    const std::size_t line = std::min(text.find('\n', begin), text.size() - 1);
    const std::string name = text.substr(begin + kBegin.size(), line - begin - kBegin.size());
    // The behaviour's output may lack a last newline.
    const std::string mark = std::string(kEnd) + name + " ";
    const std::size_t end = text.find(mark, line);
    const std::size_t finish = end == std::string::npos ? end : text.find('\n', end);
    if (finish == std::string::npos) {
      transcript.unfinished = name;
      transcript.unfinished_output = text.substr(line + 1);
      return transcript;
    }
    const std::size_t ending = end + mark.size();
    transcript.results[name] = {text.substr(line + 1, end - line - 1),
                                text.substr(ending, finish - ending)};
    at = finish;
  }
}

std::vector<std::string> behaviour_names() {
  const Outcome outcome = ChildProcess(kFolder + "/contract", {"--list"}).wait(minutes(1));
  if (outcome.exit_code != 0) {
    throw std::runtime_error(kFolder + "/contract --list failed: " + outcome.errors);
  }
  return lines_of(outcome.output);
}

// Runs all parts side by side.
template <typename Run>
static Results run_parts(const Run& run) {
  std::vector<std::future<Results>> parts;
  for (std::size_t part = 0; part < kParts; ++part) {
    parts.push_back(std::async(std::launch::async, run, Part{part, kParts}));
  }
  Results all;
  for (std::future<Results>& part : parts) {
    all.merge(part.get());
  }
  return all;
}

static Results run_part_on_host(const std::string& match, const Part& part) {
  const TemporaryDirectory directory;
  ChildProcess program(
      kFolder + "/contract",
      {"--all", "--match", match, "--part", part.name(), "--limit", limit_of_behaviour()},
      {{"TMPDIR", directory.path()}});
  program.close_input();
  Transcript transcript = read_transcript(program.wait(minutes(10)).output);
  if (transcript.unfinished) {
    transcript.results[*transcript.unfinished] = {transcript.unfinished_output, "ended the suite"};
  }
  return transcript.results;
}

bool host_keeps_attributes() {
  const TemporaryDirectory directory;
  return ::setxattr(directory.path().c_str(), "user.name", "", 0, 0) == 0 || errno != ENOTSUP;
}

Results run_on_host(const std::string& match) {
  return run_parts([&match](const Part& part) { return run_part_on_host(match, part); });
}

// Runs a machine that runs behaviours out of `names`, in this order, for as long as one ends after
// the other in time.
static Outcome run_while_it_goes_on(const Arguments& command,
                                    const std::vector<std::string>& names) {
  ChildProcess machine(integration::program_directory() + "/ensemble", command);
  machine.close_input();
  const seconds limit = longest_behaviour();
  bool goes_on = machine.read_until("=== begin", limit);
  for (auto name = names.begin(); goes_on && name != names.end(); ++name) {
    goes_on = machine.read_until("=== end " + *name + " ", limit);
  }
  return machine.wait(goes_on ? limit : seconds(0));
}

static std::vector<std::string> names_of_part(const std::string& match, const Part& part) {
  std::vector<std::string> names;
  const std::regex pattern(match, std::regex::extended);
  const std::vector<std::string> all = behaviour_names();
  for (std::size_t index = part.number; index < all.size(); index += part.count) {
    if (std::regex_search(all[index], pattern)) {
      names.push_back(all[index]);
    }
  }
  return names;
}

static Results run_part_in_guest(const std::string& match, Linking linking, const std::string& disk,
                                 const Part& part) {
  Results results;
  std::vector<std::string> names = names_of_part(match, part);
  if (names.empty()) {
    return results;
  }
  std::string after;
  for (int machine = 0; machine < kMaximumMachines; ++machine) {
    Arguments words = {"--all", "--limit", limit_of_behaviour(), "--part", part.name()};
    if (!match.empty()) {
      words.insert(words.end(), {"--match", match});
    }
    if (!after.empty()) {
      words.insert(words.end(), {"--after", after});
    }
    const Outcome outcome = run_while_it_goes_on(guest_command(linking, words, disk), names);
    Transcript transcript = read_transcript(outcome.output);
    results.merge(transcript.results);
    if (transcript.done || !transcript.unfinished) {
      break;
    }
    after = *transcript.unfinished;
    names.erase(names.begin(), std::next(std::ranges::find(names, after)));
    results[after] = {transcript.unfinished_output, ending_of_machine(outcome)};
  }
  return results;
}

Results run_in_guest(const std::string& match, Linking linking, const std::string& disk) {
  // A disk is one machine's.
  return disk.empty() ? run_parts([&](const Part& part) {
    return run_part_in_guest(match, linking, disk, part);
  })
                      : run_part_in_guest(match, linking, disk, {});
}

Results run_each_in_guest(const std::vector<std::string>& names, Linking linking) {
  Results results;
  for (const std::string& name : names) {
    Outcome outcome =
        integration::run_ensemble(guest_command(linking, {name}), {}, longest_behaviour());
    std::erase(outcome.output, '\r');
    const int code = outcome.exit_code;
    std::string ending = "exit " + std::to_string(code);
    if (outcome.timed_out || code == 125) {
      ending = ending_of_machine(outcome);
    } else if (code > 128 && code < 128 + 32) {
      ending = std::string("signal ") + ::sigabbrev_np(code - 128);
    }
    results[name] = {outcome.output, ending};
  }
  return results;
}

std::string describe_difference(const Result& host, const Result& guest) {
  std::string text;
  int differing = 0;
  const std::vector<std::string> expected = lines_of(host.output);
  const std::vector<std::string> found = lines_of(guest.output);
  for (std::size_t i = 0; i < std::max(expected.size(), found.size()); ++i) {
    const std::string one = i < expected.size() ? expected[i] : "(no more lines)";
    const std::string other = i < found.size() ? found[i] : "(no more lines)";
    if (one != other && ++differing > kShownDifferences) {
      text += "  and more\n";
      break;
    }
    if (one != other) {
      text += "  line " + std::to_string(i + 1) + "\n    Linux: " + one + "\n    guest: " + other +
              "\n";
    }
  }
  if (host.ending != guest.ending) {
    text += "  end\n    Linux: " + host.ending + "\n    guest: " + guest.ending + "\n";
  }
  return text;
}

std::map<std::string, std::string> read_differences(const std::string& path) {
  std::map<std::string, std::string> reasons;
  for (const YAML::Node& entry : YAML::LoadFile(path)) {
    for (const YAML::Node& behaviour : entry["behaviours"]) {
      reasons[behaviour.as<std::string>()] = entry["reason"].as<std::string>();
    }
  }
  return reasons;
}

}  // namespace ensemble::contract
