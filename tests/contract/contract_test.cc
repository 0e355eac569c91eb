// Every behaviour of the contract suite is a test: it passes when it prints and ends in the guest
// as it does on this Linux. By hand:
//   contract_test --host [REGEX]           shows what this Linux does
//   contract_test --guest [REGEX]          compares, with few machines
//   contract_test --guest-each [REGEX]     compares, with one machine for each behaviour
// and --dynamic takes the dynamically linked program.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <regex>
#include <set>

#include "tests/contract/comparison.h"
#include "tests/integration/disk_image.h"
#include "tests/integration/lane.h"

namespace ensemble::contract {
namespace {

const std::string kDifferences = ENSEMBLE_CONTRACT_FOLDER "/differences.yaml";

std::string escaped(const std::string& name) {
  return std::regex_replace(name, std::regex("\\."), "\\.");
}

// The expression for what GoogleTest is about to run: some behaviours, or all. It becomes a word of
// the guest's command line, so it stays short.
std::string selected() {
  constexpr std::size_t kLongest = 1000;
  const std::string prefix = "Contract/";
  std::string match;
  const testing::UnitTest& unit_test = *testing::UnitTest::GetInstance();
  for (int i = 0; i < unit_test.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *unit_test.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const testing::TestInfo& test = *suite.GetTestInfo(j);
      if (test.should_run() && std::string(suite.name()).starts_with(prefix)) {
        const std::string name =
            std::string(suite.name()).substr(prefix.size()) + "." + test.name();
        match += (match.empty() ? "^(" : "|") + escaped(name);
      }
    }
  }
  return match.size() <= kLongest ? match + ")$" : "";
}

const Results& host_results() {
  static const Results results = run_on_host(selected());
  return results;
}

// Where it matters how a program is linked: what is mapped when it starts, what its start-up does,
// and what threads and processes have of it.
const std::string kDynamicAreas =
    "^(execute|processes|threads|signals|memory|faults|linux_calls)\\.";

const Results& guest_results() {
  static const Results results = run_in_guest(selected(), Linking::kStatic);
  return results;
}

const std::map<std::string, std::string>& differences() {
  static const std::map<std::string, std::string> reasons = read_differences(kDifferences);
  return reasons;
}

bool cannot_compare(const std::string& name) {
  static const bool attributes = host_keeps_attributes();
  return name.starts_with("attributes.") && !attributes;
}

Result find(const Results& results, const std::string& name) {
  const auto found = results.find(name);
  return found != results.end() ? found->second : Result{"", "it did not run"};
}

#define REQUIRE_ROOT_AND_KVM()                                       \
  REQUIRE_KVM();                                                     \
  if (::geteuid() != 0) {                                            \
    GTEST_SKIP() << "root runs the guest's programs, so the host's " \
                    "must be run by root, too";                      \
  }

// How a behaviour differs. One that differs among hundreds of others, on a host that may be busy,
// is looked at once more, alone on both systems.
std::string settled_difference(const std::string& name, const Results& host, const Results& guest,
                               Linking linking) {
  static int again = 0;
  constexpr int kMostAgain = 5;
  const std::string difference = describe_difference(find(host, name), find(guest, name));
  if (difference.empty() || differences().contains(name) || ++again > kMostAgain) {
    return difference;
  }
  const std::string only = "^" + std::regex_replace(name, std::regex("\\."), "\\.") + "$";
  const std::string alone =
      describe_difference(find(run_on_host(only), name), find(run_in_guest(only, linking), name));
  if (alone.empty()) {
    std::cout << "unsteady: " << name << '\n' << difference;
  }
  return alone;
}

class BehaviourTest : public testing::Test {
 public:
  explicit BehaviourTest(std::string name) : name_(std::move(name)) {}

  void TestBody() override {
    REQUIRE_ROOT_AND_KVM();
    if (cannot_compare(name_)) {
      GTEST_SKIP() << "the host's file system for temporary files keeps no user attributes";
    }
    const std::string difference =
        settled_difference(name_, host_results(), guest_results(), Linking::kStatic);
    const auto known = differences().find(name_);
    if (known == differences().end()) {
      EXPECT_EQ(difference, "");
    } else if (difference.empty()) {
      ADD_FAILURE() << "differences.yaml names it, and it does not differ any more";
    } else {
      GTEST_SKIP() << "differs: " << known->second;
    }
  }

 private:
  std::string name_;
};

TEST(ContractSuite, ReadsTranscripts) {
  const Transcript whole = read_transcript(
      "noise\r\n=== begin a.b\r\none\r\ntwo=== end a.b exit 3\r\n=== begin c.d\n=== end c.d hang\n"
      "=== done\n");
  EXPECT_TRUE(whole.done);
  EXPECT_EQ(whole.results.size(), 2U);
  EXPECT_EQ(whole.results.at("a.b"), (Result{"one\ntwo", "exit 3"}));
  EXPECT_EQ(whole.results.at("c.d"), (Result{"", "hang"}));
  const Transcript cut = read_transcript("=== begin a.b\n=== end a.b exit 0\n=== begin c.d\nlast");
  EXPECT_FALSE(cut.done);
  EXPECT_EQ(cut.unfinished, "c.d");
  EXPECT_EQ(cut.unfinished_output, "last");
  EXPECT_FALSE(read_transcript("").done);
}

TEST(ContractSuite, TellsDifferences) {
  const Result right = {"one\ntwo\n", "exit 0"};
  EXPECT_EQ(describe_difference(right, right), "");
  EXPECT_EQ(describe_difference(right, {"one\n2\n", "exit 0"}),
            "  line 2\n    Linux: two\n    guest: 2\n");
  EXPECT_EQ(describe_difference(right, {"one\ntwo\n", "signal SEGV"}),
            "  end\n    Linux: exit 0\n    guest: signal SEGV\n");
  EXPECT_NE(describe_difference(right, {"one\n", "exit 0"}), "");
  EXPECT_NE(describe_difference(right, {"one\ntwo\nthree\n", "exit 0"}), "");
}

TEST(ContractSuite, DifferencesNameBehaviours) {
  const std::vector<std::string> names = behaviour_names();
  for (const auto& [name, reason] : differences()) {
    EXPECT_TRUE(std::ranges::find(names, name) != names.end()) << name;
    EXPECT_FALSE(reason.empty()) << name;
  }
}

// Behaviours of the dynamically linked program, which the guest's own dynamic linker loads. On the
// host it does what the static one does.
TEST(ContractSuite, DynamicallyLinkedIsTheSame) {
  REQUIRE_ROOT_AND_KVM();
  const Results host = run_on_host(kDynamicAreas);
  const Results guest = run_in_guest(kDynamicAreas, Linking::kDynamic);
  for (const auto& [name, result] : host) {
    if (!differences().contains(name)) {
      EXPECT_EQ(settled_difference(name, host, guest, Linking::kDynamic), "") << name;
    }
  }
}

// What concerns files, on the disk's ext4 instead of in memory.
TEST(ContractSuite, FilesOnADiskAreTheSame) {
  REQUIRE_ROOT_AND_KVM();
  const std::string files = "^(attributes|names|open|read_write|status)\\.";
  const integration::DiskImage disk(64u << 20);
  // A disk that the device formats is told of on the console.
  ASSERT_EQ(disk.tool("mke2fs", {"-q", "-F", "-t", "ext4", "-b", "4096"}).exit_code, 0);
  const Results host = run_on_host(files);
  const Results guest = run_in_guest(files, Linking::kStatic, disk.path());
  EXPECT_GT(host.size(), 50U);
  for (const auto& [name, result] : host) {
    if (!differences().contains(name) && !cannot_compare(name)) {
      EXPECT_EQ(describe_difference(result, find(guest, name)), "") << name;
    }
  }
  disk.expect_sound();
}

void register_behaviours() {
  for (const std::string& name : behaviour_names()) {
    const std::size_t dot = name.find('.');
    testing::RegisterTest(("Contract/" + name.substr(0, dot)).c_str(), name.substr(dot + 1).c_str(),
                          nullptr, nullptr, __FILE__, __LINE__,
                          [name]() -> testing::Test* { return new BehaviourTest(name); });
  }
}

int show_host(const std::string& match) {
  for (const auto& [name, result] : run_on_host(match)) {
    std::cout << name << ": " << result.ending << '\n' << result.output << '\n';
  }
  return 0;
}

int compare_by_hand(const std::string& match, bool each, Linking linking) {
  std::vector<std::string> names;
  const std::regex pattern(match, std::regex::extended);
  for (const std::string& name : behaviour_names()) {
    if (std::regex_search(name, pattern)) {
      names.push_back(name);
    }
  }
  const Results host = run_on_host(match);
  const Results guest = each ? run_each_in_guest(names, linking) : run_in_guest(match, linking);
  int differing = 0;
  for (const std::string& name : names) {
    const std::string difference = describe_difference(find(host, name), find(guest, name));
    const auto known = differences().find(name);
    const bool is_known = known != differences().end();
    differing += !difference.empty();
    std::cout << (difference.empty() ? "same     " : "differs  ") << name
              << (is_known ? " (known: " + known->second + ")" : "") << '\n'
              << difference;
  }
  std::cout << names.size() << " behaviours, " << differing << " differ\n";
  return differing == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ensemble::contract

int main(int count, char** words) {
  std::vector<std::string> arguments(words + 1, words + count);
  const auto linking = std::erase(arguments, "--dynamic") > 0
                           ? ensemble::contract::Linking::kDynamic
                           : ensemble::contract::Linking::kStatic;
  const std::string match = arguments.size() > 1 ? arguments[1] : "";
  if (!arguments.empty() && arguments[0] == "--host") {
    return ensemble::contract::show_host(match);
  }
  if (!arguments.empty() && (arguments[0] == "--guest" || arguments[0] == "--guest-each")) {
    return ensemble::contract::compare_by_hand(match, arguments[0] == "--guest-each", linking);
  }
  ensemble::contract::register_behaviours();
  testing::InitGoogleTest(&count, words);
  return RUN_ALL_TESTS();
}
