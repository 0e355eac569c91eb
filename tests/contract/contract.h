#pragma once

// The contract suite: small behaviours that Linux promises, each a function that prints facts. A
// behaviour is right in the guest when it prints and ends there as it does on the host, so facts
// hold no process numbers, addresses, times or inode numbers.

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct behaviour {
  const char* file;
  const char* name;
  long line;
  void (*run)(void);
};

// Defines a behaviour, AREA.NAME where the area is the name of its file. It starts in an empty
// directory of its own, with descriptors 0 to 2 only, default signals, umask 022 and niceness 0.
#define BEHAVIOUR(name)                                                                   \
  static void name(void);                                                                 \
  static struct behaviour behaviour_##name                                                \
      __attribute__((section("behaviours"), used, aligned(sizeof(struct behaviour)))) = { \
          __FILE_NAME__, #name, __LINE__, name};                                          \
  static void name(void)

// Evaluates a call and prints its text with its result: the value, or the error's name after −1.
#define SHOW(call) show(#call, (errno = 0, (long)(call)), true)

// The same where the value differs between runs: prints "ok" in its place.
#define DOES(call) show(#call, (errno = 0, (long)(call)), false)

// Set-up: silent unless the call fails, which ends the behaviour.
#define MUST(call) must(#call, (errno = 0, (long)(call)))

// Prints whether a condition holds.
#define FACT(condition) say("%s: %s", #condition, (condition) ? "yes" : "no")

// Prints one line, in one write.
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));
long show(const char* text, long result, bool with_value);
long must(const char* text, long result);
// Prints a label and bytes, the unprintable ones escaped.
void say_bytes(const char* label, const void* bytes, size_t size);
// Prints how a process ended or changed: "WHO: exit 3", "WHO: signal SEGV".
void say_status(const char* who, int status);

const char* error_name(int error);
const char* signal_name(int signal);

// fork() that must succeed.
pid_t start_child(void);
// The wait status of a child once it has ended.
int wait_for(pid_t child);
// Waits for a child and prints how it ended.
void say_end(const char* who, pid_t child);

// Creates or truncates a file with these contents; the descriptor is open for reading and writing.
int make_file(const char* name, const char* contents);
// Prints the contents of a file.
void say_file(const char* name);
// Prints the type, the permission bits and, but for directories, the size of a file, or the error.
void say_stat(const char* name);

void sleep_ms(long milliseconds);
// Milliseconds of the monotonic clock.
long now_ms(void);
// sigaction with these flags that must succeed, and an empty mask.
void on_signal(int signal, void (*handler)(int), int flags);
// A handler that does nothing, and one that counts in `signal_count` and remembers `last_signal`.
void ignore_signal(int signal);
void count_signal(int signal);
extern volatile sig_atomic_t signal_count;
extern volatile sig_atomic_t last_signal;

// Starts a child that sends the signal to this process every 20 ms until `stop_nagging`. With it,
// an interruption happens whenever the call begins to block.
pid_t start_nagging(int signal);
void stop_nagging(pid_t nagger);

// Waits until the process sleeps in a call: it has not used the processor for a while.
void wait_until_asleep(pid_t process);

// The path of this program. Run with "--print WHAT…" it says what an executed program finds.
const char* program_path(void);
// Executes this program with --print and one word (NULL: nothing more) in a child; prints its end.
void run_printer(const char* what, const char* argument);
// The other side of run_printer.
int print_for_test(int count, char** arguments);

// Becomes an ordinary user (1000), with no capabilities and no further groups.
void become_user(void);
