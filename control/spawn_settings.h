#pragma once

#include <signal.h>
#include <spawn.h>
#include <sys/types.h>
#include <unistd.h>

#include <string>

namespace ensemble::control {

// What a program starts with: owns the two structures that posix_spawn takes. All signals are
// unblocked in the new process.
class SpawnSettings {
 public:
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  // The new process finds `path` open at `descriptor`.
  void open(int descriptor, const std::string& path, int flags) {
    ::posix_spawn_file_actions_addopen(&actions_, descriptor, path.c_str(), flags, 0600);
  }
  // It finds this process's descriptor `ours` at `theirs`.
  void place(int ours, int theirs) { ::posix_spawn_file_actions_adddup2(&actions_, ours, theirs); }
  // It leads a process group, or a session, of its own.
  void begin_group() { flags_ |= POSIX_SPAWN_SETPGROUP; }
  void begin_session() { flags_ |= POSIX_SPAWN_SETSID; }

  // Starts `executable`; returns 0 and sets `id`, or an errno value. `arguments` ends with null.
  int spawn(pid_t& id, const std::string& executable, char* const* arguments) {
    ::posix_spawnattr_setflags(&attributes_, static_cast<short>(flags_));
    return ::posix_spawn(&id, executable.c_str(), &actions_, &attributes_, arguments, environ);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
  int flags_ = POSIX_SPAWN_SETSIGMASK;
};

}  // namespace ensemble::control
