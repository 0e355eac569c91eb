#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "guest-kernel/ext4/protocol.h"
#include "guest-kernel/ext4/volume.h"

namespace ext4 {

// Answers the requests of protocol.h. What arrives is checked here: the client is trusted with the
// files, not with this program.
class Service {
 public:
  static constexpr std::size_t kWords = 8;
  using Words = std::array<std::uint64_t, kWords>;

  // `shared`: kSharedSize bytes, which the client may change at any time.
  Service(Volume& volume, std::span<std::byte> shared) : volume_(volume), shared_(shared) {}

  // The answer to a request.
  Words answer(const Words& request);
  // Whether a request, answered, has started a commit, which finish_commit() makes.
  bool has_started_commit() const { return commit_started_; }
  void finish_commit();

 private:
  int run(const Words& request, Words& answer);
  int run_range(const Words& request, Words& answer);
  int run_attribute(const Words& request, Words& answer);
  int mount(Words& answer);
  void write_gathered(std::uint64_t size, Words& answer);
  int commit();
  int with_gathered(int failed) const { return failed != 0 ? failed : gathered_result_; }
  int list(const Words& request, Words& answer);
  int create(const Words& request, Words& answer);
  int rename(const Words& request);
  // A name of `size` bytes, copied out of the shared memory; empty if that is none.
  std::string_view take_name(std::uint64_t offset, std::uint64_t size, std::size_t place);
  template <typename Record>
  Record take_record() const;
  template <typename Record>
  void put_record(const Record& record);
  std::span<std::byte> data() const { return shared_.subspan(kNamesSize, kDataSize); }

  Volume& volume_;
  std::span<std::byte> shared_;
  std::array<std::array<char, 256>, 2> names_{};
  std::array<char, 4096> target_{};
  std::int64_t now_ = 0;
  bool mounted_ = false;
  bool commit_started_ = false;
  std::uint64_t commit_number_ = 0;
  // Of the first gathered write that failed. Its program was told that it had been written, so no
  // later commit has everything, whoever asks for one.
  int gathered_result_ = 0;
};

}  // namespace ext4
