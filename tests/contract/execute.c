// execve: arguments, environment, what is kept and what is not, scripts, errors: execve(2).
#include <elf.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "contract.h"

extern char** environ;

static void make_script(const char* name, const char* first_line) {
  const int file = make_file(name, first_line);
  MUST(lseek(file, 0, SEEK_END));
  MUST(write(file, "\n", 1));
  MUST(fchmod(file, 0755));
  close(file);
}

BEHAVIOUR(arguments) {
  const pid_t child = start_child();
  if (child == 0) {
    execl(program_path(), "any name", "--print", "arguments", "", "with space", "\xc3\xa9\n",
          (char*)NULL);
    _exit(98);
  }
  say_end("program", child);
}

BEHAVIOUR(environment) {
  char* const words[] = {"contract", "--print", "environment", NULL};
  char* const variables[] = {"ONE=1", "TWO=", "odd", "ONE=again", NULL};
  const pid_t child = start_child();
  if (child == 0) {
    execve(program_path(), words, variables);
    _exit(98);
  }
  say_end("program", child);
  const pid_t other = start_child();
  if (other == 0) {
    execve(program_path(), words, NULL);
    _exit(98);
  }
  say_end("without any", other);
}

BEHAVIOUR(close_on_exec) {
  MUST(dup3(1, 10, O_CLOEXEC));
  MUST(dup2(1, 11));
  run_printer("descriptor", "10");
  run_printer("descriptor", "11");
  run_printer("descriptor", "12");
}

// Handlers become default, ignored signals and the mask stay.
BEHAVIOUR(signals_kept) {
  on_signal(SIGUSR1, ignore_signal, 0);
  on_signal(SIGUSR2, SIG_IGN, 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  run_printer("signals", NULL);
}

// A pending blocked signal survives.
BEHAVIOUR(pending_signal_kept) {
  const pid_t child = start_child();
  if (child == 0) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    raise(SIGTERM);
    execl(program_path(), "contract", "--print", "pending", (char*)NULL);
    _exit(98);
  }
  say_end("program", child);
}

BEHAVIOUR(directory_and_umask_kept) {
  MUST(mkdir("inner", 0700));
  MUST(chdir("inner"));
  run_printer("directory", NULL);
}

BEHAVIOUR(errors) {
  char* const words[] = {"x", NULL};
  close(make_file("plain", "no program\n"));
  close(make_file("empty", ""));
  MUST(chmod("empty", 0755));
  MUST(mkdir("folder", 0755));
  MUST(symlink("loop", "loop"));
  SHOW(execve("missing", words, environ));
  SHOW(execve("plain", words, environ));
  SHOW(chmod("plain", 0755));
  SHOW(execve("plain", words, environ));
  SHOW(execve("empty", words, environ));
  SHOW(execve("folder", words, environ));
  SHOW(execve("plain/x", words, environ));
  SHOW(execve("loop", words, environ));
  SHOW(execve("", words, environ));
  SHOW(execve((char*)8, words, environ));
  SHOW(execve("/bin/busybox", (char**)8, environ));
}

// Damaged executables give ENOEXEC and leave the caller alive.
BEHAVIOUR(broken_elf) {
  char* const words[] = {"x", NULL};
  unsigned char header[64] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
  int file = make_file("short", "");
  MUST(write(file, header, 20));
  MUST(fchmod(file, 0755));
  close(file);
  SHOW(execve("short", words, environ));
  header[16] = 2;
  header[18] = 3;  // another machine
  file = make_file("machine", "");
  MUST(write(file, header, 64));
  MUST(fchmod(file, 0755));
  close(file);
  SHOW(execve("machine", words, environ));
}

BEHAVIOUR(script) {
  char line[4200];
  snprintf(line, sizeof(line), "#!%s --print", program_path());
  make_script("script", line);
  const pid_t child = start_child();
  if (child == 0) {
    // The interpreter gets its one argument, the script's path, then the caller's arguments.
    execl("./script", "replaced", "first", "second", (char*)NULL);
    _exit(98);
  }
  say_end("./script", child);
}

// All that follows the interpreter's name is one argument.
BEHAVIOUR(script_argument_is_one) {
  make_script("script", "#! /bin/busybox  echo one  two ");
  const pid_t child = start_child();
  if (child == 0) {
    close(2);  // busybox complains of an applet with spaces in its name
    execl("./script", "replaced", "given", (char*)NULL);
    _exit(98);
  }
  say_end("script", child);
  make_script("echo", "#!/bin/busybox echo");
  const pid_t other = start_child();
  if (other == 0) {
    execl("./echo", "replaced", "given", (char*)NULL);
    _exit(98);
  }
  say_end("echo", other);
}

BEHAVIOUR(script_errors) {
  char* const words[] = {"x", NULL};
  make_script("missing", "#!/nowhere/interpreter");
  make_script("none", "#!");
  make_script("itself", "#!./itself");
  make_script("folder", "#!/");
  SHOW(execve("./missing", words, environ));
  SHOW(execve("./none", words, environ));
  SHOW(execve("./itself", words, environ));
  SHOW(execve("./folder", words, environ));
}

// A program with a PT_INTERP, which is `interpreter`.
static void make_program(const char* name, const char* interpreter) {
  struct {
    Elf64_Ehdr head;
    Elf64_Phdr parts[2];
    char interpreter[256];
  } image = {0};
  memcpy(image.head.e_ident, ELFMAG, SELFMAG);
  image.head.e_ident[EI_CLASS] = ELFCLASS64;
  image.head.e_ident[EI_DATA] = ELFDATA2LSB;
  image.head.e_ident[EI_VERSION] = EV_CURRENT;
  image.head.e_type = ET_DYN;
  image.head.e_machine = EM_X86_64;
  image.head.e_version = EV_CURRENT;
  image.head.e_phoff = offsetof(typeof(image), parts);
  image.head.e_ehsize = sizeof(image.head);
  image.head.e_phentsize = sizeof(image.parts[0]);
  image.head.e_phnum = 2;
  const size_t size = strlen(interpreter) + 1;
  image.parts[0] =
      (Elf64_Phdr){PT_INTERP, PF_R, offsetof(typeof(image), interpreter), 0, 0, size, size, 1};
  image.parts[1] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, 0, 0, sizeof(image), sizeof(image), 4096};
  memcpy(image.interpreter, interpreter, size);
  const int file = make_file(name, "");
  MUST(write(file, &image, sizeof(image)));
  MUST(fchmod(file, 0755));
  close(file);
}

// The interpreter is looked for as the caller sees files, and has to be executable for it.
BEHAVIOUR(interpreter_of_elf) {
  char* const words[] = {"program", NULL};
  char path[200];
  MUST((long)getcwd(path, sizeof(path) - 20));
  MUST(chmod(".", 0755));
  MUST(mkdir("jail", 0755));
  strcat(path, "/garbage");
  static char text[5000];
  memset(text, 'x', sizeof(text) - 1);
  const int file = make_file("garbage", text);
  MUST(fchmod(file, 0700));
  close(file);
  make_program("program", path);
  make_program("jail/program", path);
  make_program("missing", "/nowhere/at/all");
  SHOW(execve("./program", words, environ));
  SHOW(execve("./missing", words, environ));
  MUST(chmod("garbage", 0600));
  SHOW(execve("./program", words, environ));
  MUST(chmod("garbage", 0700));
  const pid_t user = start_child();
  if (user == 0) {
    become_user();
    SHOW(execve("./program", words, environ));
    _exit(0);
  }
  say_end("user", user);
  MUST(chroot("jail"));
  MUST(chdir("/"));
  SHOW(execve("./program", words, environ));
}

// An interpreter may be a script itself, a few times.
BEHAVIOUR(script_of_script) {
  make_script("echo", "#!/bin/busybox echo");
  make_script("outer", "#!./echo");
  const pid_t child = start_child();
  if (child == 0) {
    execl("./outer", "outer", "given", (char*)NULL);
    _exit(98);
  }
  say_end("script", child);
}

BEHAVIOUR(too_many_arguments) {
  enum { kLength = 100000, kCount = 100 };
  static char text[kLength + 1];
  static char* words[kCount + 1];
  memset(text, 'a', kLength);
  for (int i = 0; i < kCount; ++i) {
    words[i] = text;
  }
  SHOW(execve("/bin/busybox", words, environ));
  static char long_text[131072 + 1];
  memset(long_text, 'a', 131072);
  char* const one_long[] = {"busybox", "true", long_text, NULL};
  SHOW(execve("/bin/busybox", one_long, environ));
  long_text[131071] = 0;
  const pid_t child = start_child();
  if (child == 0) {
    execve("/bin/busybox", one_long, environ);
    _exit(98);
  }
  say_end("longest word", child);
}

BEHAVIOUR(fexecve_runs) {
  const int file = (int)MUST(open("/bin/busybox", O_RDONLY | O_CLOEXEC));
  char* const words[] = {"busybox", "echo", "by descriptor", NULL};
  const pid_t child = start_child();
  if (child == 0) {
    fexecve(file, words, environ);
    _exit(98);
  }
  say_end("program", child);
}

BEHAVIOUR(execveat_names) {
  const int folder = (int)MUST(open("/bin", O_RDONLY));
  char* const words[] = {"busybox", "echo", "by folder", NULL};
  const pid_t child = start_child();
  if (child == 0) {
    execveat(folder, "busybox", words, environ, 0);
    _exit(98);
  }
  say_end("program", child);
  SHOW(execveat(folder, "busybox", words, environ, 0x40000000));
  SHOW(execveat(folder, "", words, environ, 0));
  MUST(symlink("/bin/busybox", "link"));
  SHOW(execveat(AT_FDCWD, "link", words, environ, AT_SYMLINK_NOFOLLOW));
}

// What the new program finds beside its arguments.
BEHAVIOUR(auxiliary_vector) {
  SHOW(getauxval(AT_PAGESZ));
  SHOW(getauxval(AT_CLKTCK));
  SHOW(getauxval(AT_SECURE));
  SHOW(getauxval(AT_UID));
  SHOW(getauxval(AT_EGID));
  FACT(getauxval(AT_RANDOM) != 0);
  FACT(getauxval(AT_PHDR) != 0);
  FACT(getauxval(AT_PHNUM) > 0);
  FACT(getauxval(AT_ENTRY) != 0);
  FACT(getauxval(AT_SYSINFO_EHDR) != 0);
  say("platform %s", (const char*)getauxval(AT_PLATFORM));
}

// A program that runs cannot be opened for writing.
BEHAVIOUR(text_busy) {
  const int from = (int)MUST(open("/bin/busybox", O_RDONLY));
  const int to = (int)MUST(open("copy", O_CREAT | O_WRONLY, 0755));
  static char block[65536];
  for (ssize_t size; (size = read(from, block, sizeof(block))) > 0;) {
    MUST(write(to, block, (size_t)size));
  }
  char* const words[] = {"busybox", "sleep", "20", NULL};
  SHOW(execve("./copy", words, environ));
  close(to);
  const pid_t child = start_child();
  if (child == 0) {
    execve("./copy", words, environ);
    _exit(98);
  }
  wait_until_asleep(child);
  sleep_ms(50);
  SHOW(open("copy", O_WRONLY));
  DOES(open("copy", O_RDONLY));
  kill(child, SIGKILL);
  wait_for(child);
  DOES(open("copy", O_WRONLY));
}

static char child_stack[65536] __attribute__((aligned(16)));

static int exec_with_shared_descriptors(void* unused) {
  (void)unused;
  execl(program_path(), "contract", "--print", "arguments", "shared", (char*)NULL);
  _exit(1);
}

// Who executes a program has its own descriptors from then on: the other one's stay open.
BEHAVIOUR(descriptors_unshared) {
  int ends[2];
  MUST(pipe2(ends, O_CLOEXEC));
  const pid_t child =
      (pid_t)MUST(clone(exec_with_shared_descriptors, child_stack + sizeof(child_stack),
                        CLONE_FILES | SIGCHLD, NULL));
  say_end("child", child);
  SHOW(fcntl(ends[0], F_GETFD));
  SHOW(write(ends[1], "x", 1));
}

// Directories and umask stay shared.
BEHAVIOUR(places_stay_shared) {
  const pid_t child = (pid_t)MUST(clone(
      exec_with_shared_descriptors, child_stack + sizeof(child_stack), CLONE_FS | SIGCHLD, NULL));
  say_end("child", child);
}

// A program that makes its caller root does not where the caller shares its directories.
BEHAVIOUR(set_user_id_and_shared_places) {
  char copy[] = "copy";
  const int from = (int)MUST(open(program_path(), O_RDONLY));
  const int to = (int)MUST(open(copy, O_WRONLY | O_CREAT, 0755));
  static char buffer[65536];
  for (ssize_t size; (size = read(from, buffer, sizeof(buffer))) > 0;) {
    MUST(write(to, buffer, (size_t)size));
  }
  close(from);
  close(to);
  MUST(chmod(copy, 04755));
  MUST(chmod(".", 0755));
  for (int shares = 0; shares < 2; ++shares) {
    const pid_t child = start_child();
    if (child == 0) {
      become_user();
      int ready[2];
      MUST(pipe(ready));
      const long flags = (shares ? CLONE_FS : 0) | SIGCHLD;
      const pid_t sharer = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
      if (sharer == 0) {
        close(ready[1]);
        char byte;
        read(ready[0], &byte, 1);
        _exit(0);
      }
      close(ready[0]);
      execl("./copy", "contract", "--print", "user", (char*)NULL);
      say("%s", error_name(errno));
      _exit(1);
    }
    say_end(shares ? "shares" : "alone", child);
  }
}
