// Mappings and the heap: mmap(2), mprotect(2), mremap(2), munmap(2), madvise(2), brk(2).
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>

#include "contract.h"

enum { kPage = 4096, kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS };

static char* map(size_t size, int protection) {
  char* memory = mmap(NULL, size, protection, kAnonymous, -1, 0);
  MUST((long)memory);
  return memory;
}

// Runs an access in a child: 0 when it works, else the signal.
static void try_read(const char* what, const volatile char* address) {
  const pid_t child = start_child();
  if (child == 0) {
    _exit(*address != *address);
  }
  say_end(what, child);
}

static void try_write(const char* what, volatile char* address) {
  const pid_t child = start_child();
  if (child == 0) {
    *address = 1;
    _exit(0);
  }
  say_end(what, child);
}

BEHAVIOUR(anonymous_is_zero) {
  const size_t size = 1 << 20;
  char* memory = map(size, PROT_READ | PROT_WRITE);
  size_t nonzero = 0;
  for (size_t i = 0; i < size; ++i) {
    nonzero += memory[i] != 0;
  }
  say("nonzero %zu", nonzero);
  FACT((uintptr_t)memory % kPage == 0);
  SHOW(munmap(memory, size));
  try_read("unmapped", memory);
}

BEHAVIOUR(bad_arguments) {
  SHOW(mmap(NULL, 0, PROT_READ, kAnonymous, -1, 0));
  SHOW(mmap(NULL, kPage, PROT_READ, MAP_ANONYMOUS, -1, 0));
  SHOW(mmap(NULL, kPage, PROT_READ, MAP_PRIVATE, -1, 0));
  SHOW(mmap((void*)1, kPage, PROT_READ, kAnonymous | MAP_FIXED, -1, 0));
  SHOW(mmap(NULL, (size_t)1 << 47, PROT_READ, kAnonymous, -1, 0));
  SHOW(mmap(NULL, -1UL, PROT_READ, kAnonymous, -1, 0));
  SHOW(mmap((void*)(1UL << 60), kPage, PROT_READ, kAnonymous | MAP_FIXED, -1, 0));
  SHOW(munmap((void*)1, kPage));
  SHOW(munmap((void*)kPage, 0));
  SHOW(munmap((void*)0x10000000, kPage));
  SHOW(mprotect((void*)1, kPage, PROT_READ));
  SHOW(mprotect((void*)0x10000000, kPage, PROT_READ));
  SHOW(mprotect((void*)0x10000000, kPage, 0x100));
}

BEHAVIOUR(file_errors) {
  close(make_file("file", "text"));
  const int reader = (int)MUST(open("file", O_RDONLY));
  const int writer = (int)MUST(open("file", O_WRONLY));
  SHOW(mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0));
  DOES(mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0));
  SHOW(mmap(NULL, kPage, PROT_READ, MAP_PRIVATE, writer, 0));
  SHOW(mmap(NULL, kPage, PROT_READ, MAP_PRIVATE, reader, 1));
  SHOW(mmap(NULL, kPage, PROT_READ, MAP_PRIVATE, (int)MUST(open(".", O_RDONLY)), 0));
  int ends[2];
  MUST(pipe(ends));
  SHOW(mmap(NULL, kPage, PROT_READ, MAP_PRIVATE, ends[0], 0));
  char* shared = mmap(NULL, kPage, PROT_READ, MAP_SHARED, reader, 0);
  SHOW(mprotect(shared, kPage, PROT_READ | PROT_WRITE));
}

// A private mapping reads the file and keeps its writes; a shared one writes the file.
BEHAVIOUR(private_and_shared_files) {
  const int file = make_file("file", "0123456789");
  char* private = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  char* shared = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  private[0] = 'p';
  shared[1] = 's';
  MUST(pwrite(file, "w", 1, 2));
  say_bytes("private", private, 4);
  say_bytes("shared", shared, 4);
  say_file("file");
  SHOW(msync(shared, kPage, MS_SYNC));
  SHOW(msync(shared + 1, kPage, MS_SYNC));
  SHOW(msync(shared, kPage, MS_SYNC | MS_ASYNC));
  close(file);
  shared[3] = 'x';
  SHOW(munmap(shared, kPage));
  say_file("file");
}

// Behind the end of the file: zeros to the end of the page, then SIGBUS.
BEHAVIOUR(end_of_mapped_file) {
  const int file = make_file("file", "0123456789");
  char* memory = mmap(NULL, 2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  say("%d %d", memory[9], memory[kPage - 1]);
  try_read("next page", memory + kPage);
  memory[20] = 'x';
  say_stat("file");
  MUST(ftruncate(file, 2 * kPage));
  try_read("after growing", memory + kPage);
  MUST(ftruncate(file, 0));
  try_read("after truncation", memory);
}

BEHAVIOUR(protection) {
  char* memory = map(kPage, PROT_NONE);
  try_read("none, read", memory);
  SHOW(mprotect(memory, kPage, PROT_READ));
  try_read("read, read", memory);
  try_write("read, write", memory);
  SHOW(mprotect(memory, kPage, PROT_READ | PROT_WRITE));
  try_write("write, write", memory);
}

// mprotect in the middle leaves both sides; contents stay.
BEHAVIOUR(protect_middle) {
  char* memory = map(3 * kPage, PROT_READ | PROT_WRITE);
  memset(memory, 'x', 3 * kPage);
  SHOW(mprotect(memory + kPage, kPage, PROT_READ));
  try_write("first", memory);
  try_write("second", memory + kPage);
  try_write("third", memory + 2 * kPage);
  SHOW(mprotect(memory + kPage, kPage, PROT_READ | PROT_WRITE));
  say("%c%c%c", memory[0], memory[kPage], memory[2 * kPage]);
}

BEHAVIOUR(unmap_middle) {
  char* memory = map(3 * kPage, PROT_READ | PROT_WRITE);
  memory[0] = 'a';
  memory[2 * kPage] = 'c';
  SHOW(munmap(memory + kPage, kPage));
  try_read("middle", memory + kPage);
  say("%c%c", memory[0], memory[2 * kPage]);
  SHOW(munmap(memory + kPage, kPage));
  SHOW(mprotect(memory, 3 * kPage, PROT_READ));
}

// MAP_FIXED replaces; MAP_FIXED_NOREPLACE refuses.
BEHAVIOUR(fixed) {
  char* memory = map(2 * kPage, PROT_READ | PROT_WRITE);
  memory[0] = 'a';
  memory[kPage] = 'b';
  FACT(mmap(memory, kPage, PROT_READ, kAnonymous | MAP_FIXED, -1, 0) == memory);
  say("%d %c", memory[0], memory[kPage]);
  SHOW(mmap(memory, kPage, PROT_READ, kAnonymous | MAP_FIXED_NOREPLACE, -1, 0));
  munmap(memory, kPage);
  FACT(mmap(memory, kPage, PROT_READ, kAnonymous | MAP_FIXED_NOREPLACE, -1, 0) == memory);
}

BEHAVIOUR(hint) {
  char* memory = map(2 * kPage, PROT_READ);
  munmap(memory, 2 * kPage);
  FACT(mmap(memory, kPage, PROT_READ, kAnonymous, -1, 0) == memory);
  FACT(mmap(memory, kPage, PROT_READ, kAnonymous, -1, 0) != memory);
}

BEHAVIOUR(copy_on_write) {
  char* private = map(64 * kPage, PROT_READ | PROT_WRITE);
  char* shared = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memset(private, 'p', 64 * kPage);
  shared[0] = 'p';
  const pid_t child = start_child();
  if (child == 0) {
    memset(private, 'c', 64 * kPage);
    shared[0] = 'c';
    say("child: %c %c", private[63 * kPage], shared[0]);
    _exit(0);
  }
  say_end("child", child);
  say("parent: %c %c", private[63 * kPage], shared[0]);
}

// Copies of copies: three generations write the same page.
BEHAVIOUR(copy_on_write_deep) {
  volatile char* memory = map(kPage, PROT_READ | PROT_WRITE);
  memory[0] = '0';
  const pid_t child = start_child();
  if (child == 0) {
    const pid_t grandchild = start_child();
    if (grandchild == 0) {
      memory[0] = '2';
      _exit(memory[0]);
    }
    say_end("grandchild", grandchild);
    say("child %c", memory[0]);
    memory[0] = '1';
    _exit(memory[0]);
  }
  say_end("child", child);
  say("parent %c", memory[0]);
}

// A read() into memory that is shared copy-on-write copies it as well.
BEHAVIOUR(kernel_writes_copy) {
  char* memory = map(kPage, PROT_READ | PROT_WRITE);
  memory[0] = 'p';
  const int zero = (int)MUST(open("/dev/zero", O_RDONLY));
  const pid_t child = start_child();
  if (child == 0) {
    MUST(read(zero, memory, 10));
    say("child %d", memory[0]);
    _exit(0);
  }
  say_end("child", child);
  say("parent %c", memory[0]);
}

BEHAVIOUR(remap_grows) {
  char* memory = map(2 * kPage, PROT_READ | PROT_WRITE);
  char* blocker = memory + kPage;
  memory[0] = 'm';
  SHOW(mremap(memory, kPage, 2 * kPage, 0));
  char* moved = mremap(memory, kPage, 8 * kPage, MREMAP_MAYMOVE);
  FACT(moved != MAP_FAILED && moved != memory);
  say("%c %d", moved[0], moved[7 * kPage]);
  try_read("old place", memory);
  FACT(mremap(moved, 8 * kPage, kPage, 0) == moved);
  try_read("cut off", moved + kPage);
  try_read("kept", moved);
  munmap(blocker, kPage);
}

BEHAVIOUR(remap_fixed) {
  char* memory = map(kPage, PROT_READ | PROT_WRITE);
  char* target = map(kPage, PROT_READ);
  memory[0] = 'm';
  FACT(mremap(memory, kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
  say("%c", target[0]);
  try_write("moved with its protection", target);
  SHOW(mremap(target, kPage, kPage, MREMAP_FIXED, memory));
  SHOW(mremap((void*)0x10000000, kPage, 2 * kPage, MREMAP_MAYMOVE));
  SHOW(mremap(target + 1, kPage, kPage, MREMAP_MAYMOVE));
  SHOW(mremap(target, kPage, 0, MREMAP_MAYMOVE));
}

BEHAVIOUR(advice) {
  char* memory = map(4 * kPage, PROT_READ | PROT_WRITE);
  memset(memory, 'x', 4 * kPage);
  SHOW(madvise(memory, kPage, MADV_DONTNEED));
  SHOW(madvise(memory, kPage, MADV_WILLNEED));
  say("%d %c", memory[0], memory[kPage]);
  SHOW(madvise(memory + 1, kPage, MADV_DONTNEED));
  SHOW(madvise(memory, kPage, 9999));
  SHOW(madvise(memory, 0, MADV_NORMAL));
  SHOW(madvise((void*)0x10000000, kPage, MADV_DONTNEED));
}

// MADV_DONTNEED on a private file mapping brings the file's contents back.
BEHAVIOUR(advice_on_file) {
  const int file = make_file("file", "abc");
  char* memory = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  memory[0] = 'x';
  SHOW(madvise(memory, kPage, MADV_DONTNEED));
  say("%c", memory[0]);
}

BEHAVIOUR(heap_break) {
  char* start = sbrk(0);
  FACT(sbrk(3 * kPage) == start);
  memset(start, 'h', 3 * kPage);
  FACT((char*)sbrk(0) == start + 3 * kPage);
  FACT(sbrk(-2 * kPage) != (void*)-1);
  FACT((char*)sbrk(0) == start + kPage);
  SHOW(brk(start + (1L << 45)));
  FACT((char*)sbrk(0) == start + kPage);
  FACT(sbrk(2 * kPage) != (void*)-1);
  say("given back, then zero: %d %d", start[0], start[2 * kPage]);
}

// RLIMIT_AS bounds all mappings.
BEHAVIOUR(address_space_limit) {
  const struct rlimit limit = {64 << 20, 64 << 20};
  MUST(setrlimit(RLIMIT_AS, &limit));
  SHOW(mmap(NULL, 128 << 20, PROT_READ, kAnonymous, -1, 0));
  DOES(mmap(NULL, 1 << 20, PROT_READ, kAnonymous, -1, 0));
  FACT(malloc(128 << 20) == NULL);
}

// Address space may be kept for later, but not memory that nobody has.
BEHAVIOUR(fixed_over_reserved) {
  const size_t size = 1UL << 42;
  char* memory = map(size, PROT_NONE);
  SHOW(mmap(memory, size, PROT_READ | PROT_WRITE, kAnonymous | MAP_FIXED, -1, 0));
  FACT(mmap(memory, size, PROT_READ | PROT_WRITE, kAnonymous | MAP_FIXED | MAP_NORESERVE, -1, 0) ==
       memory);
  FACT(mmap(memory, kPage, PROT_READ | PROT_WRITE, kAnonymous | MAP_FIXED, -1, 0) == memory);
  memory[0] = 1;
}

// What a mapping replaces counts for it; where it is refused all the same, that is as it was.
BEHAVIOUR(fixed_at_the_limit) {
  char* memory = map(8 * kPage, PROT_READ | PROT_WRITE);
  char* hole = map(64 * kPage, PROT_NONE);
  MUST(munmap(hole + kPage, 63 * kPage));
  memory[0] = 1;
  hole = mmap(hole, kPage, PROT_READ | PROT_WRITE, kAnonymous | MAP_FIXED, -1, 0);
  hole[0] = 2;
  const struct rlimit limit = {1 << 16, 1 << 16};
  MUST(setrlimit(RLIMIT_AS, &limit));
  SHOW(mmap(hole, 64 * kPage, PROT_READ, kAnonymous | MAP_FIXED, -1, 0));
  say("still %d", hole[0]);
  FACT(mmap(memory, 8 * kPage, PROT_READ, kAnonymous | MAP_FIXED, -1, 0) == MAP_FAILED);
  say("still %d", memory[0]);
}

// A hog meets ENOMEM under its limit and goes on living.
BEHAVIOUR(memory_hog) {
  const pid_t hog = start_child();
  if (hog == 0) {
    const struct rlimit limit = {48 << 20, 48 << 20};
    MUST(setrlimit(RLIMIT_AS, &limit));
    int blocks = 0;
    for (char* block;
         (block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, kAnonymous, -1, 0)) != MAP_FAILED;) {
      memset(block, 1, 1 << 20);
      ++blocks;
    }
    say("%s", error_name(errno));
    FACT(blocks > 20 && blocks < 49);
    _exit(0);
  }
  say_end("hog", hog);
}

BEHAVIOUR(executable_memory) {
  unsigned char* code = (unsigned char*)map(kPage, PROT_READ | PROT_WRITE);
  const unsigned char bytes[] = {0xb8, 42, 0, 0, 0, 0xc3};
  memcpy(code, bytes, sizeof(bytes));
  const pid_t child = start_child();
  if (child == 0) {
    _exit(((int (*)(void))code)());
  }
  say_end("not executable", child);
  SHOW(mprotect(code, kPage, PROT_READ | PROT_EXEC));
  say("%d", ((int (*)(void))code)());
}

BEHAVIOUR(sparse_mapping) {
  const size_t size = (size_t)16 << 30;
  char* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, kAnonymous | MAP_NORESERVE, -1, 0);
  FACT(memory != MAP_FAILED);
  memory[0] = 1;
  memory[size / 2] = 2;
  memory[size - 1] = 3;
  say("%d %d %d %d", memory[0], memory[size / 2], memory[size - 1], memory[size / 4]);
  SHOW(munmap(memory, size));
}

BEHAVIOUR(many_mappings) {
  char* memory = map(512 * kPage, PROT_READ | PROT_WRITE);
  int failed = 0;
  for (int i = 0; i < 512; i += 2) {
    failed += mprotect(memory + i * kPage, kPage, PROT_READ) != 0;
  }
  for (int i = 1; i < 512; i += 2) {
    memory[i * kPage] = (char)i;
  }
  for (int i = 0; i < 512; i += 2) {
    failed += munmap(memory + i * kPage, kPage) != 0;
  }
  int wrong = 0;
  for (int i = 1; i < 512; i += 2) {
    wrong += memory[i * kPage] != (char)i;
  }
  say("failed %d, wrong %d", failed, wrong);
}

BEHAVIOUR(resident_pages) {
  char* memory = map(4 * kPage, PROT_READ | PROT_WRITE);
  memory[kPage] = 1;
  unsigned char resident[4];
  SHOW(mincore(memory, 4 * kPage, resident));
  say("second %d, third %d", resident[1] & 1, resident[2] & 1);
  SHOW(mincore(memory + 1, kPage, resident));
  SHOW(mincore((void*)0x10000000, kPage, resident));
}

BEHAVIOUR(resident_pages_of_much) {
  enum { kPages = 10000 };
  static unsigned char resident[kPages + 1];
  char* memory = map(kPages * kPage, PROT_READ | PROT_WRITE);
  MUST(madvise(memory, kPages * kPage, MADV_NOHUGEPAGE));
  for (int i = 0; i < kPages; i += 100) {
    memory[i * kPage] = 1;
  }
  memset(resident, 0xff, sizeof(resident));
  SHOW(mincore(memory, kPages * kPage, resident));
  int count = 0;
  int wrong = 0;
  for (int i = 0; i < kPages; ++i) {
    count += resident[i] & 1;
    wrong += i % 100 == 0 && (resident[i] & 1) == 0;
  }
  say("%d, wrong %d, behind %x", count, wrong, resident[kPages]);
  MUST(munmap(memory + 9000 * kPage, kPage));
  SHOW(mincore(memory, kPages * kPage, resident));
  SHOW(mincore(memory, 9000 * kPage, (unsigned char*)16));
}

// Far apart, with nothing between.
BEHAVIOUR(unmapping_across_holes) {
  char* first = (char*)0x100000000000;
  char* second = (char*)0x200000000000;
  for (int round = 0; round < 50; ++round) {
    MUST((long)mmap(first, kPage, PROT_READ | PROT_WRITE, kAnonymous | MAP_FIXED, -1, 0));
    MUST((long)mmap(second, 3 * kPage, PROT_READ | PROT_WRITE, kAnonymous | MAP_FIXED, -1, 0));
    first[0] = second[0] = second[2 * kPage] = (char)round;
    MUST(munmap(first, (size_t)(second - first) + kPage));
  }
  try_read("first", first);
  try_read("second", second);
  say("behind %d", second[2 * kPage]);
}

BEHAVIOUR(locking) {
  char* memory = map(kPage, PROT_READ | PROT_WRITE);
  SHOW(mlock(memory, kPage));
  SHOW(munlock(memory, kPage));
  SHOW(mlock((void*)0x10000000, kPage));
  SHOW(mlockall(0));
  SHOW(munlockall());
}

// As a user whose limit is this many pages.
static void become_user_who_locks(unsigned long pages) {
  const struct rlimit limit = {pages * kPage, pages * kPage};
  MUST(setrlimit(RLIMIT_MEMLOCK, &limit));
  MUST(setresuid(1000, 1000, 1000));
}

BEHAVIOUR(locking_without_permission) {
  char* memory = map(2 * kPage, PROT_READ | PROT_WRITE);
  become_user_who_locks(0);
  SHOW(mlock(memory, kPage));
  SHOW(mlock((void*)0x10000000, kPage));
  SHOW(mlockall(MCL_CURRENT));
  SHOW(mlockall(MCL_FUTURE | MCL_ONFAULT));
  SHOW(mlockall(MCL_ONFAULT));
  SHOW(munlock(memory, kPage));
}

BEHAVIOUR(locking_up_to_the_limit) {
  char* memory = map(8 * kPage, PROT_READ | PROT_WRITE);
  become_user_who_locks(2);
  SHOW(mlock(memory, 2 * kPage));
  SHOW(mlock(memory, kPage));
  SHOW(mlock(memory + 4 * kPage, kPage));
  SHOW(mlock(memory, 3 * kPage));
  SHOW(munlock(memory, kPage));
  SHOW(mlock(memory + 4 * kPage, kPage));
  SHOW(mlock(memory + 4 * kPage, kPage + 1));
  SHOW(mlockall(MCL_CURRENT));
  SHOW(mlockall(MCL_FUTURE));
  SHOW(munlockall());
  SHOW(mlock2(memory, 2 * kPage, MLOCK_ONFAULT));
}

BEHAVIOUR(locking_everything) {
  char* memory = map(kPage, PROT_READ | PROT_WRITE);
  memory[0] = 1;
  SHOW(mlockall(MCL_CURRENT | MCL_ONFAULT));
  SHOW(msync(memory, kPage, MS_INVALIDATE));
  SHOW(munlockall());
  SHOW(msync(memory, kPage, MS_INVALIDATE));
}

// memfd: a file without a name, sealed on request.
BEHAVIOUR(memory_file) {
  const int file = (int)DOES(memfd_create("name", MFD_ALLOW_SEALING | MFD_CLOEXEC));
  SHOW(write(file, "12345", 5));
  SHOW(fcntl(file, F_GET_SEALS));
  SHOW(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
  SHOW(ftruncate(file, 3));
  SHOW(ftruncate(file, 9));
  SHOW(pwrite(file, "X", 1, 0));
  SHOW(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL));
  SHOW(pwrite(file, "Y", 1, 0));
  SHOW(fcntl(file, F_ADD_SEALS, F_SEAL_GROW));
  SHOW(fcntl((int)MUST(memfd_create("plain", 0)), F_ADD_SEALS, F_SEAL_GROW));
  SHOW(memfd_create("name", 0x800));
}

BEHAVIOUR(posix_shared_memory) {
  char name[64];
  snprintf(name, sizeof(name), "/contract-%d", (int)getpid());
  const int file = (int)DOES(shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
  SHOW(shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
  SHOW(ftruncate(file, kPage));
  char* one = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  const int again = (int)DOES(shm_open(name, O_RDWR, 0));
  char* other = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
  one[0] = 's';
  say("%c", other[0]);
  SHOW(shm_unlink(name));
  SHOW(shm_unlink(name));
}

BEHAVIOUR(system_v_shared_memory) {
  const int id = (int)DOES(shmget(IPC_PRIVATE, kPage, IPC_CREAT | 0600));
  char* one = shmat(id, NULL, 0);
  char* other = shmat(id, NULL, SHM_RDONLY);
  FACT(one != (void*)-1 && other != (void*)-1);
  one[0] = 'v';
  say("%c", other[0]);
  SHOW(shmctl(id, IPC_RMID, NULL));
  const pid_t child = start_child();
  if (child == 0) {
    one[0] = 'c';
    _exit(0);
  }
  say_end("child", child);
  say("%c", other[0]);
  SHOW(shmdt(one));
  SHOW(shmdt(one));
  SHOW(shmdt(other));
  FACT(shmat(id, NULL, 0) == (void*)-1);
}

// The parent opens pages again that nobody might write to when it forked: the child keeps its own.
static void write_behind_a_fork(int protection) {
  char* const page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int ready[2];
  MUST(pipe(ready));
  strcpy(page, "before");
  MUST(mprotect(page, 4096, protection));
  const pid_t child = fork();
  if (child == 0) {
    char byte;
    DOES(read(ready[0], &byte, 1));
    MUST(mprotect(page, 4096, PROT_READ));
    say("child: %s", page);
    fflush(stdout);
    _exit(0);
  }
  MUST(mprotect(page, 4096, PROT_READ | PROT_WRITE));
  strcpy(page, "after");
  MUST(write(ready[1], "x", 1));
  wait_for(child);
  say("parent: %s", page);
}

BEHAVIOUR(fork_with_pages_only_read) {
  write_behind_a_fork(PROT_READ);
}

BEHAVIOUR(fork_with_pages_closed) {
  write_behind_a_fork(PROT_NONE);
}

BEHAVIOUR(fork_with_pages_executed) {
  write_behind_a_fork(PROT_READ | PROT_EXEC);
}
