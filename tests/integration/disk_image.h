#pragma once

#include <cstdint>
#include <string>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/temporary_folder.h"

namespace ensemble::integration {

// A blank image for a device's disk, and what Linux's own tools say of it. It goes with this
// object.
class DiskImage {
 public:
  explicit DiskImage(std::uint64_t size);
  DiskImage(const DiskImage& other);

  const std::string& path() const { return path_; }
  // Runs a program of e2fsprogs, the image as its last argument.
  Outcome tool(const std::string& name, Arguments arguments) const;
  // e2fsck finds nothing wrong, and no journal to replay.
  void expect_sound() const;
  // Lets Linux's tools replay the journal after a power cut: there is nothing else to repair. A
  // copy of an image leaves the journal to the device.
  void expect_sound_after_replay() const;

 private:
  TemporaryFolder folder_;
  std::string path_ = folder_.path("disk.img");
};

// How many power cuts a test makes: ENSEMBLE_POWER_CUTS, or `usual`.
int power_cuts(int usual);
// Kills the machine of a running `ensemble`, so that nothing in it ends in order, and returns all
// that was printed.
std::string cut_power(ChildProcess& device);
// The number after the last `word` in the whole lines of a text; 0: there is none.
int last_number(const std::string& text, const std::string& word);

}  // namespace ensemble::integration
