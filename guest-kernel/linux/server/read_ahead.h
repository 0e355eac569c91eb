#pragma once

#include <cstdint>

namespace linux_server {

class File;
class Node;
class ProcessMemory;

// What a process's shim reads of one of its descriptors without the server: the bytes behind the
// file's position lie in a buffer of the process's, and the shim moves the position through them in
// one word (shim::ReadAheadState). Whoever else wants to know the position, or changes the file,
// ends this first. The process may write what it likes into the word: the position then lies
// somewhere in the buffer.
class ReadAhead {
 public:
  ReadAhead() = default;
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;
  ~ReadAhead() { end(); }

  // A program has read `size` bytes of `file` by its `descriptor`, whose position has moved: puts
  // what follows into the buffer, if it seems to go on and nobody can change the file meanwhile.
  // `memory`: where the descriptor is known to the shim. True: done.
  bool offer(File& file, std::uint32_t descriptor, ProcessMemory& memory, std::uint64_t size);
  bool is_for(std::uint64_t descriptor) const {
    return file_ != nullptr && descriptor == descriptor_;
  }
  // The file's position is where the shim has come to; the shim asks from now on.
  void end();

  // The file is about to change.
  static void end_all_of(const Node& node);
  // Somebody is to be told of each read.
  static void end_all();

 private:
  // Whether another file's is in use.
  bool is_busy();

  File* file_ = nullptr;  // null: nothing is offered
  ProcessMemory* memory_ = nullptr;
  std::uint64_t start_ = 0;  // the file's position when it was offered
  std::uint64_t size_ = 0;
  std::uint64_t seen_ = 0;  // the word, as the last one found it who wanted the buffer
  std::uint32_t descriptor_ = 0;
  std::uint32_t generation_ = 0;
  // Of those that are offered.
  ReadAhead* next_ = nullptr;
  ReadAhead* previous_ = nullptr;
};

}  // namespace linux_server
