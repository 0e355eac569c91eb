#include "tests/programs/debian_root.h"

#include <fcntl.h>
#include <sys/file.h>

#include <filesystem>
#include <functional>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"

namespace ensemble::programs {
namespace {

const integration::Arguments kProgramPackages = {
    "bash", "coreutils", "dash",      "findutils", "gawk",    "gcc",
    "grep", "gzip",      "libc6-dev", "lua5.4",    "make",    "python3",
    "sed",  "sqlite3",   "stress-ng", "tar",       "xz-utils"};
const integration::Arguments kHardwarePackages = {"coreutils", "dash",         "evtest",
                                                  "grep",      "libiio-utils", "util-linux-extra"};

const integration::Arguments& packages_of(Root root) {
  return root == Root::kHardware ? kHardwarePackages : kProgramPackages;
}

// Held while a root is made: cases are processes of their own, and run at the same time.
class FolderLock {
 public:
  explicit FolderLock(const std::string& path)
      : file_(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644)) {
    EXPECT_TRUE(file_ && ::flock(file_.get(), LOCK_EX) == 0) << path;
  }

 private:
  vmm::FileDescriptor file_;
};

}  // namespace

std::string debian_root(Root root) {
  // A list that changes makes another root.
  std::string names;
  for (const std::string& package : packages_of(root)) {
    names += package + " ";
  }
  return std::string(ENSEMBLE_ROOTS "/root-") + std::to_string(std::hash<std::string>()(names)) +
         ".cpio";
}

std::string make_debian_root(Root root) {
  const FolderLock lock(ENSEMBLE_ROOTS "/roots.lock");
  if (std::filesystem::exists(debian_root(root))) {
    return {};
  }
  if (integration::on_lane_s()) {
    return "the root file system was not made on the host before";
  }
  integration::Arguments arguments{"-o", debian_root(root)};
  const integration::Arguments& packages = packages_of(root);
  arguments.insert(arguments.end(), packages.begin(), packages.end());
  const integration::Outcome made =
      integration::ChildProcess(ENSEMBLE_SOURCE "/scripts/rootfs", arguments)
          .wait(std::chrono::seconds(240));
  if (made.errors.find("cannot download") != std::string::npos) {
    return "Debian's packages are out of reach: " + made.errors;
  }
  EXPECT_EQ(made.exit_code, 0) << made.errors;
  return {};
}

}  // namespace ensemble::programs
