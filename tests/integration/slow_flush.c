// Loaded into ensemble-vmm before all else: a disk that takes long until it has what was written.
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int descriptor) {
  sleep(2);
  return (int)syscall(SYS_fdatasync, descriptor);
}
