#include <grp.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include "contract.h"

extern char** environ;

volatile sig_atomic_t signal_count;
volatile sig_atomic_t last_signal;

static void write_all(const char* text, size_t size) {
  while (size > 0) {
    const ssize_t written = write(STDOUT_FILENO, text, size);
    if (written < 0 && errno != EINTR) {
      return;
    }
    if (written > 0) {
      text += written;
      size -= (size_t)written;
    }
  }
}

void say(const char* format, ...) {
  char line[4096];
  const int error = errno;
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(line, sizeof(line) - 1, format, arguments);
  va_end(arguments);
  if (size > (int)sizeof(line) - 2) {
    size = sizeof(line) - 2;
  }
  line[size] = '\n';
  write_all(line, (size_t)size + 1);
  errno = error;
}

const char* error_name(int error) {
  const char* name = strerrorname_np(error);
  return name != NULL ? name : "unknown error";
}

const char* signal_name(int signal) {
  const char* name = sigabbrev_np(signal);
  return name != NULL ? name : "real-time or unknown";
}

long show(const char* text, long result, bool with_value) {
  if (result == -1 && errno != 0) {
    say("%s = -1 %s", text, error_name(errno));
  } else if (with_value) {
    say("%s = %ld", text, result);
  } else {
    say("%s: ok", text);
  }
  return result;
}

long must(const char* text, long result) {
  if (result == -1) {
    say("cannot begin: %s = -1 %s", text, error_name(errno));
    _exit(99);
  }
  return result;
}

void say_bytes(const char* label, const void* bytes, size_t size) {
  char text[3000];
  size_t end = 0;
  for (size_t i = 0; i < size && end + 5 < sizeof(text); ++i) {
    const unsigned char byte = ((const unsigned char*)bytes)[i];
    end += (size_t)snprintf(text + end, sizeof(text) - end,
                            byte >= ' ' && byte < 127 ? "%c" : "\\x%02x", byte);
  }
  text[end] = 0;
  say("%s: \"%s\"", label, text);
}

void say_status(const char* who, int status) {
  if (WIFEXITED(status)) {
    say("%s: exit %d", who, WEXITSTATUS(status));
  } else if (WIFSIGNALED(status)) {
    say("%s: signal %s", who, signal_name(WTERMSIG(status)));
  } else if (WIFSTOPPED(status)) {
    say("%s: stopped by %s", who, signal_name(WSTOPSIG(status)));
  } else if (WIFCONTINUED(status)) {
    say("%s: continued", who);
  } else {
    say("%s: status %#x", who, (unsigned)status);
  }
}

pid_t start_child(void) {
  return (pid_t)MUST(fork());
}

int wait_for(pid_t child) {
  int status = 0;
  pid_t found = 0;
  do {
    found = waitpid(child, &status, 0);
  } while (found < 0 && errno == EINTR);
  MUST(found);
  return status;
}

void say_end(const char* who, pid_t child) {
  say_status(who, wait_for(child));
}

int make_file(const char* name, const char* contents) {
  const int file = (int)MUST(open(name, O_RDWR | O_CREAT | O_TRUNC, 0644));
  const size_t size = strlen(contents);
  if (size > 0) {
    MUST(write(file, contents, size));
    MUST(lseek(file, 0, SEEK_SET));
  }
  return file;
}

void say_file(const char* name) {
  char contents[1024];
  const int file = open(name, O_RDONLY);
  if (file < 0) {
    say("%s: %s", name, error_name(errno));
    return;
  }
  const ssize_t size = read(file, contents, sizeof(contents));
  close(file);
  say_bytes(name, contents, size > 0 ? (size_t)size : 0);
}

void say_stat(const char* name) {
  struct stat status;
  if (lstat(name, &status) != 0) {
    say("%s: %s", name, error_name(errno));
  } else if (S_ISDIR(status.st_mode)) {
    say("%s: mode %o", name, (unsigned)status.st_mode);
  } else {
    say("%s: mode %o, %ld bytes", name, (unsigned)status.st_mode, (long)status.st_size);
  }
}

void sleep_ms(long milliseconds) {
  struct timespec rest = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
  }
}

long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void on_signal(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  MUST(sigaction(signal, &action, NULL));
}

void ignore_signal(int signal) {
  (void)signal;
}

void count_signal(int signal) {
  ++signal_count;
  last_signal = signal;
}

pid_t start_nagging(int signal) {
  const pid_t parent = getpid();
  const pid_t nagger = start_child();
  if (nagger == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 400; ++i) {
      sleep_ms(20);
      kill(parent, signal);
    }
    _exit(0);
  }
  return nagger;
}

void stop_nagging(pid_t nagger) {
  kill(nagger, SIGKILL);
  wait_for(nagger);
}

void wait_until_asleep(pid_t process) {
  char path[40];
  snprintf(path, sizeof(path), "/proc/%d/stat", (int)process);
  for (int round = 0; round < 1000; ++round) {
    char text[512] = "";
    const int file = open(path, O_RDONLY);
    const ssize_t size = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
    close(file);
    const char* state = size < 0 ? NULL : strrchr(text, ')');
    if (state == NULL) {
      sleep_ms(100);
      return;
    }
    if (state[2] == 'S') {
      return;
    }
    sleep_ms(2);
  }
}

const char* program_path(void) {
  static char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
  MUST(size);
  path[size] = 0;
  return path;
}

void run_printer(const char* what, const char* argument) {
  const pid_t child = start_child();
  if (child == 0) {
    execl(program_path(), "contract", "--print", what, argument, (char*)NULL);
    say("exec failed: %s", error_name(errno));
    _exit(98);
  }
  say_end(what, child);
}

int print_for_test(int count, char** arguments) {
  const char* what = count > 0 ? arguments[0] : "";
  if (strcmp(what, "arguments") == 0 || what[0] == '.') {
    for (int i = 0; i < count; ++i) {
      say_bytes("argument", arguments[i], strlen(arguments[i]));
    }
  } else if (strcmp(what, "environment") == 0) {
    for (char** entry = environ; *entry != NULL; ++entry) {
      say_bytes("environment", *entry, strlen(*entry));
    }
  } else if (strcmp(what, "descriptor") == 0 && count > 1) {
    say("descriptor %s: %s", arguments[1],
        fcntl(atoi(arguments[1]), F_GETFD) >= 0 ? "open" : error_name(errno));
  } else if (strcmp(what, "signals") == 0) {
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int signal = 1; signal < 32; ++signal) {
      struct sigaction action = {.sa_handler = SIG_DFL};
      sigaction(signal, NULL, &action);
      if (action.sa_handler != SIG_DFL || sigismember(&blocked, signal) == 1) {
        say("%s: %s%s", signal_name(signal),
            action.sa_handler == SIG_IGN   ? "ignored"
            : action.sa_handler == SIG_DFL ? "default"
                                           : "handled",
            sigismember(&blocked, signal) == 1 ? ", blocked" : "");
      }
    }
  } else if (strcmp(what, "pending") == 0) {
    sigset_t pending;
    sigpending(&pending);
    for (int signal = 1; signal < 32; ++signal) {
      if (sigismember(&pending, signal)) {
        say("%s is pending", signal_name(signal));
      }
    }
  } else if (strcmp(what, "user") == 0) {
    say("user %d, effective %d", (int)getuid(), (int)geteuid());
  } else if (strcmp(what, "directory") == 0) {
    char name[4096];
    say("directory: %s", getcwd(name, sizeof(name)) != NULL ? strrchr(name, '/') : "none");
  } else if (strcmp(what, "word") == 0) {
    uint32_t word = 0;
    say("%zd bytes of input: %u", read(0, &word, sizeof(word)), word);
  } else if (strcmp(what, "exit") == 0 && count > 1) {
    return atoi(arguments[1]);
  } else {
    say("print %s?", what);
    return 97;
  }
  return 0;
}

void become_user(void) {
  MUST(setgroups(0, NULL));
  MUST(setresgid(1000, 1000, 1000));
  MUST(setresuid(1000, 1000, 1000));
}
