// What processes may learn of each other: process_vm_readv(2), kcmp(2), membarrier(2).
#include <linux/kcmp.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include "contract.h"

static char shared_text[] = "as it was";

static pid_t start_changed_child(void) {
  int ends[2];
  MUST(pipe(ends));
  const pid_t child = start_child();
  if (child == 0) {
    strcpy(shared_text, "child's!!");
    MUST(write(ends[1], "r", 1));
    for (;;) {
      pause();
    }
  }
  char byte;
  MUST(read(ends[0], &byte, 1));
  close(ends[0]);
  close(ends[1]);
  return child;
}

BEHAVIOUR(memory_of_child) {
  const pid_t child = start_changed_child();
  char text[16] = "";
  struct iovec local = {text, 9};
  struct iovec remote = {shared_text, 9};
  SHOW(process_vm_readv(child, &local, 1, &remote, 1, 0));
  say("%s", text);
  strcpy(text, "from here");
  SHOW(process_vm_writev(child, &local, 1, &remote, 1, 0));
  memset(text, 0, sizeof(text));
  struct iovec parts[2] = {{text, 4}, {text + 5, 5}};
  SHOW(process_vm_readv(child, parts, 2, &remote, 1, 0));
  say("%s %s", text, text + 5);
  say("%s", shared_text);
  kill(child, SIGKILL);
  say_end("child", child);
}

BEHAVIOUR(memory_arguments) {
  char text[16] = "";
  struct iovec local = {text, 9};
  struct iovec remote = {shared_text, 9};
  SHOW(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
  SHOW(process_vm_readv(getpid(), &local, 1, &remote, 1, 1));
  SHOW(process_vm_readv(getpid(), &local, 0, &remote, 1, 0));
  SHOW(process_vm_readv(getpid(), &local, 1, &remote, 0, 0));
  SHOW(process_vm_readv(getpid(), &local, 1025, &remote, 1, 0));
  SHOW(process_vm_readv(getpid(), &local, 1, &remote, 1025, 0));
  SHOW(process_vm_readv(getpid(), (void*)8, 1, &remote, 1, 0));
  SHOW(process_vm_readv(getpid(), &local, 1, (void*)8, 1, 0));
  SHOW(process_vm_readv(1 << 29, &local, 1, &remote, 1, 0));
  SHOW(process_vm_readv(-1, &local, 1, &remote, 1, 0));
  remote.iov_base = (void*)8;
  SHOW(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
  struct iovec two[2] = {{shared_text, 4}, {(void*)8, 5}};
  SHOW(process_vm_readv(getpid(), &local, 1, two, 2, 0));
  remote = (struct iovec){shared_text, (size_t)-1};
  SHOW(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
  remote = (struct iovec){shared_text, 9};
  local.iov_base = (void*)8;
  SHOW(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
}

BEHAVIOUR(memory_rights) {
  const pid_t child = start_changed_child();
  const pid_t user = start_child();
  if (user == 0) {
    become_user();
    char text[16] = "";
    struct iovec local = {text, 9};
    struct iovec remote = {shared_text, 9};
    SHOW(process_vm_readv(child, &local, 1, &remote, 1, 0));
    SHOW(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
    _exit(0);
  }
  say_end("user", user);
  kill(child, SIGKILL);
  wait_for(child);
}

static long compare(pid_t one, pid_t other, int kind, unsigned long first, unsigned long second) {
  const long result = syscall(SYS_kcmp, one, other, kind, first, second);
  return result > 0 ? 1 : result;
}

BEHAVIOUR(comparing) {
  const int file = make_file("file", "");
  const int same = dup(file);
  const int other = (int)MUST(open("file", O_RDONLY));
  const pid_t self = getpid();
  SHOW(compare(self, self, KCMP_FILE, (unsigned long)file, (unsigned long)same));
  SHOW(compare(self, self, KCMP_FILE, (unsigned long)file, (unsigned long)other));
  SHOW(compare(self, self, KCMP_FILE, (unsigned long)file, 99));
  SHOW(compare(self, self, KCMP_VM, 0, 0));
  SHOW(compare(self, self, 99, 0, 0));
  SHOW(compare(self, 1 << 29, KCMP_VM, 0, 0));
  SHOW(compare(0, self, KCMP_VM, 0, 0));
  const pid_t child = start_changed_child();
  SHOW(compare(self, child, KCMP_FILE, (unsigned long)file, (unsigned long)file));
  SHOW(compare(self, child, KCMP_VM, 0, 0));
  SHOW(compare(self, child, KCMP_FILES, 0, 0));
  SHOW(compare(self, child, KCMP_FS, 0, 0));
  SHOW(compare(self, child, KCMP_SIGHAND, 0, 0));
  kill(child, SIGKILL);
  wait_for(child);
}

BEHAVIOUR(barriers) {
  SHOW(syscall(SYS_membarrier, 1, 0, 0));
  SHOW(syscall(SYS_membarrier, 1, 1, 0));
  SHOW(syscall(SYS_membarrier, 2, 0, 0));
  SHOW(syscall(SYS_membarrier, 4, 0, 0));
  SHOW(syscall(SYS_membarrier, 32, 0, 0));
  SHOW(syscall(SYS_membarrier, 64, 0, 0));
  SHOW(syscall(SYS_membarrier, 32, 0, 0));
  SHOW(syscall(SYS_membarrier, 3, 0, 0));
  SHOW(syscall(SYS_membarrier, -1, 0, 0));
  const pid_t child = start_child();
  if (child == 0) {
    SHOW(syscall(SYS_membarrier, 32, 0, 0));
    SHOW(syscall(SYS_membarrier, 8, 0, 0));
    _exit(0);
  }
  say_end("child", child);
}
