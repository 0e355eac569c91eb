#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ensemble::contract {

// What a behaviour printed, and how it ended: "exit 0", "signal SEGV", "hang", or what became of
// the machine.
struct Result {
  std::string output;
  std::string ending;
};

bool operator==(const Result& one, const Result& other);

using Results = std::map<std::string, Result>;

// What `contract --all` printed.
struct Transcript {
  Results results;
  std::optional<std::string> unfinished;  // it has begun and not ended
  std::string unfinished_output;
  bool done = false;
};

Transcript read_transcript(std::string text);

// Which of the two programs runs; both hold the same behaviours.
enum class Linking { kStatic, kDynamic };

// The names of all behaviours, AREA.NAME, in the order in which they run.
std::vector<std::string> behaviour_names();

// Whether this Linux keeps user attributes of the files that behaviours make. Linux 6.1 does not on
// tmpfs, and lane S has nothing else.
bool host_keeps_attributes();

// Runs the behaviours whose names match the extended regular expression on this Linux.
Results run_on_host(const std::string& match);

// The same in a guest. A machine that stops in the middle is that behaviour's ending, and another
// one goes on behind it. `disk`: an image whose file system they use.
Results run_in_guest(const std::string& match, Linking linking, const std::string& disk = {});

// One machine for each behaviour, which runs as the first process: for a guest that cannot fork.
Results run_each_in_guest(const std::vector<std::string>& names, Linking linking);

// Says where two results differ, for people. Empty when they are the same.
std::string describe_difference(const Result& host, const Result& guest);

// Reads differences.yaml: the reason by behaviour. Throws YAML::Exception where it is not valid.
std::map<std::string, std::string> read_differences(const std::string& path);

}  // namespace ensemble::contract
