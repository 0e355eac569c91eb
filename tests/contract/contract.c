// contract --list                            names of all behaviours
// contract NAME                              runs one, in this process
// contract --all [--match REGEX] [--part I/N] [--after NAME] [--limit SECONDS]
//                                            runs each in a child and says how it ended; with
//                                            --part only each Nth, from number I on
// contract --print WHAT…                     what executed programs print for tests
//
// Behaviours write files only below $TMPDIR, or /tmp.

#include "contract.h"

#include <dirent.h>
#include <regex.h>
#include <sys/prctl.h>
#include <sys/resource.h>

extern struct behaviour __start_behaviours[];
extern struct behaviour __stop_behaviours[];

static const char* full_name(const struct behaviour* behaviour) {
  static char name[128];
  snprintf(name, sizeof(name), "%.*s.%s", (int)(strlen(behaviour->file) - 2), behaviour->file,
           behaviour->name);
  return name;
}

static int compare(const void* left, const void* right) {
  const struct behaviour* one = left;
  const struct behaviour* other = right;
  const int files = strcmp(one->file, other->file);
  return files != 0 ? files : (one->line > other->line) - (one->line < other->line);
}

static const char* temporary_directory(void) {
  const char* directory = getenv("TMPDIR");
  return directory != NULL ? directory : "/tmp";
}

static void remove_tree(const char* path) {
  DIR* directory = opendir(path);
  for (struct dirent* entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
    char inner[1024];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) >= (int)sizeof(inner)) {
      continue;
    }
    struct stat status;
    if (lstat(inner, &status) == 0 && S_ISDIR(status.st_mode)) {
      chmod(inner, 0700);
      remove_tree(inner);
    } else {
      unlink(inner);
    }
  }
  if (directory != NULL) {
    closedir(directory);
  }
  rmdir(path);
}

static void working_directory(const struct behaviour* behaviour, char* path, size_t size) {
  snprintf(path, size, "%s/contract.%s", temporary_directory(), full_name(behaviour));
}

// Makes the surroundings that behaviours may rely on, as far as the system lets it.
static void run_behaviour(const struct behaviour* behaviour) {
  char directory[512];
  working_directory(behaviour, directory, sizeof(directory));
  if (close_range(3, ~0U, 0) != 0) {
    for (int descriptor = 3; descriptor < 64; ++descriptor) {
      close(descriptor);
    }
  }
  for (int signal = 1; signal < 32; ++signal) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  setpriority(PRIO_PROCESS, 0, 0);
  umask(022);
  mkdir(directory, 0755);
  // Where no file can be made, the behaviours that need none can still be judged.
  if (chdir(directory) != 0) {
    errno = 0;
  }
  behaviour->run();
}

// The wait status of the child, or −1 after the limit. It polls, so that a system that cannot
// deliver signals yet is judged as well.
static int wait_at_most(pid_t child, long limit_ms) {
  const long end = now_ms() + limit_ms;
  for (long pause_us = 200;; pause_us = pause_us < 20000 ? pause_us * 3 / 2 : pause_us) {
    int status = 0;
    const pid_t found = waitpid(child, &status, WNOHANG);
    if (found == child) {
      return status;
    }
    if (found < 0 && errno != EINTR) {
      say("waitpid: %s", error_name(errno));
      return -1;
    }
    if (now_ms() > end) {
      return -1;
    }
    const struct timespec rest = {0, pause_us * 1000};
    nanosleep(&rest, NULL);
  }
}

// Ends what a behaviour has left running. All its orphans are this process's children.
static void end_leftovers(void) {
  for (int round = 0; round < 200; ++round) {
    const pid_t found = waitpid(-1, NULL, WNOHANG);
    if (found < 0) {
      return;
    }
    if (found > 0) {
      continue;
    }
    DIR* processes = opendir("/proc");
    for (struct dirent* entry; processes != NULL && (entry = readdir(processes)) != NULL;) {
      char path[300];
      char text[512] = "";
      snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
      const pid_t process = atoi(entry->d_name);
      const int file = process > 0 ? open(path, O_RDONLY) : -1;
      const ssize_t size = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
      close(file);
      const char* name_end = size > 0 ? strrchr(text, ')') : NULL;
      if (name_end != NULL && atoi(name_end + 4) == getpid()) {
        kill(process, SIGKILL);
      }
    }
    if (processes != NULL) {
      closedir(processes);
    }
    sleep_ms(1);
  }
}

static void run_in_child(const struct behaviour* behaviour, long limit_ms) {
  say("=== begin %s", full_name(behaviour));
  const pid_t child = fork();
  if (child < 0) {
    say("=== end %s no process: %s", full_name(behaviour), error_name(errno));
    return;
  }
  if (child == 0) {
    setsid();
    run_behaviour(behaviour);
    _exit(0);
  }
  const int status = wait_at_most(child, limit_ms);
  kill(-child, SIGKILL);
  if (status == -1) {
    kill(child, SIGKILL);
    wait_at_most(child, 1000);
    say("=== end %s hang", full_name(behaviour));
  } else if (WIFEXITED(status)) {
    say("=== end %s exit %d", full_name(behaviour), WEXITSTATUS(status));
  } else {
    say("=== end %s signal %s", full_name(behaviour), signal_name(WTERMSIG(status)));
  }
  end_leftovers();
  char directory[512];
  working_directory(behaviour, directory, sizeof(directory));
  remove_tree(directory);
}

static int run_all(int count, char** words) {
  const char* match = "";
  const char* after = NULL;
  long limit_ms = 10000;
  long part = 0;
  long parts = 1;
  for (int i = 0; i + 1 < count; i += 2) {
    if (strcmp(words[i], "--match") == 0) {
      match = words[i + 1];
    } else if (strcmp(words[i], "--after") == 0) {
      after = words[i + 1];
    } else if (strcmp(words[i], "--part") == 0) {
      sscanf(words[i + 1], "%ld/%ld", &part, &parts);
    } else if (strcmp(words[i], "--limit") == 0) {
      limit_ms = atol(words[i + 1]) * 1000;
    }
  }
  if (parts < 1) {
    say("--part wants I/N");
    return 2;
  }
  regex_t pattern;
  if (regcomp(&pattern, match, REG_EXTENDED | REG_NOSUB) != 0) {
    say("'%s' is no regular expression", match);
    return 2;
  }
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (const struct behaviour* one = __start_behaviours; one < __stop_behaviours; ++one) {
    const bool is_in_part = (one - __start_behaviours) % parts == part;
    if (after != NULL) {
      after = strcmp(after, full_name(one)) == 0 ? NULL : after;
    } else if (is_in_part && regexec(&pattern, full_name(one), 0, NULL, 0) == 0) {
      run_in_child(one, limit_ms);
    }
  }
  say("=== done");
  return 0;
}

int main(int count, char** words) {
  if (count > 2 && strcmp(words[1], "--print") == 0) {
    return print_for_test(count - 2, words + 2);
  }
  qsort(__start_behaviours, (size_t)(__stop_behaviours - __start_behaviours),
        sizeof(struct behaviour), compare);
  if (count > 1 && strcmp(words[1], "--all") == 0) {
    return run_all(count - 2, words + 2);
  }
  for (const struct behaviour* one = __start_behaviours; one < __stop_behaviours; ++one) {
    if (count > 1 && strcmp(words[1], "--list") == 0) {
      say("%s", full_name(one));
    } else if (count > 1 && strcmp(words[1], full_name(one)) == 0) {
      run_behaviour(one);
      return 0;
    }
  }
  if (count == 2 && strcmp(words[1], "--list") == 0) {
    return 0;
  }
  say("usage: contract --list | NAME | --all [--match REGEX] [--part I/N] [--after NAME] "
      "[--limit SECONDS]");
  return 2;
}
