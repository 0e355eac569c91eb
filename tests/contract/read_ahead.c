// Many small reads one after the other, and what happens between them: a kernel may read ahead, and
// nobody may notice.
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "contract.h"

enum { kPiece = 256, kPieces = 1024 };

// A file of kPieces pieces, each of which begins with its number. Nobody has it open.
static void make_pieces(const char* name) {
  const int file = (int)MUST(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  static uint32_t words[kPieces][kPiece / sizeof(uint32_t)];
  for (uint32_t piece = 0; piece < kPieces; ++piece) {
    words[piece][0] = piece;
  }
  MUST(write(file, words, sizeof(words)));
  MUST(close(file));
}

static int open_pieces(const char* name) {
  make_pieces(name);
  return (int)MUST(open(name, O_RDONLY));
}

// The number of the piece that is read now; -1: the end, -2: not a whole one.
static int next_piece(int file) {
  uint32_t words[kPiece / sizeof(uint32_t)];
  const ssize_t size = read(file, words, kPiece);
  return size == kPiece ? (int)words[0] : size == 0 ? -1 : -2;
}

// Reads `count` pieces; says the last.
static void skip_pieces(int file, int count) {
  int last = -1;
  for (int i = 0; i < count; ++i) {
    last = next_piece(file);
  }
  say("piece %d", last);
}

BEHAVIOUR(whole_file) {
  const int file = open_pieces("file");
  int wrong = 0;
  for (int i = 0; i < kPieces; ++i) {
    wrong += next_piece(file) != i;
  }
  say("%d wrong, then %d, %d", wrong, next_piece(file), next_piece(file));
}

// A size that fits neither the file nor what a kernel keeps of it.
BEHAVIOUR(odd_sizes) {
  const int file = open_pieces("file");
  char text[1000];
  unsigned long sum = 0;
  unsigned long total = 0;
  for (unsigned round = 0;; ++round) {
    const ssize_t size = read(file, text, 1 + round * 7 % sizeof(text));
    if (size <= 0) {
      break;
    }
    for (ssize_t i = 0; i < size; ++i) {
      sum = sum * 31 + (unsigned char)text[i];
    }
    total += (unsigned long)size;
  }
  say("%lu bytes, sum %lx", total, sum);
}

// The program's own file, which does not change.
BEHAVIOUR(same_as_mapped) {
  const int file = (int)MUST(open(program_path(), O_RDONLY));
  const off_t size = MUST(lseek(file, 0, SEEK_END));
  MUST(lseek(file, 0, SEEK_SET));
  const char* mapped = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, file, 0);
  FACT(mapped != MAP_FAILED);
  char text[777];
  off_t done = 0;
  int wrong = 0;
  for (ssize_t count; (count = read(file, text, sizeof(text))) > 0; done += count) {
    wrong += memcmp(text, mapped + done, (size_t)count) != 0;
  }
  FACT(done == size);
  say("%d wrong", wrong);
}

BEHAVIOUR(seek_between) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  SHOW(lseek(file, 0, SEEK_CUR));
  skip_pieces(file, 20);
  SHOW(lseek(file, -kPiece, SEEK_CUR));
  skip_pieces(file, 1);
  SHOW(lseek(file, 500 * kPiece, SEEK_SET));
  skip_pieces(file, 20);
}

BEHAVIOUR(other_calls_between) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  uint32_t word = 0;
  SHOW(pread(file, &word, sizeof(word), 700 * kPiece));
  say("%u", word);
  skip_pieces(file, 20);
  int rest = 0;
  SHOW(ioctl(file, FIONREAD, &rest));
  say("%d", rest);
  skip_pieces(file, 20);
  char text[64] = "";
  char path[32];
  snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", file);
  const int own = (int)MUST(open(path, O_RDONLY));
  MUST(read(own, text, sizeof(text) - 1));
  *strchr(text, '\n') = 0;
  say("%s", text);
  skip_pieces(file, 20);
}

BEHAVIOUR(duplicates_share) {
  const int file = open_pieces("file");
  const int other = (int)MUST(dup(file));
  skip_pieces(file, 20);
  skip_pieces(other, 1);
  skip_pieces(file, 20);
  skip_pieces(other, 20);
  MUST(close(file));
  skip_pieces(other, 20);
}

BEHAVIOUR(children_share) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  for (int i = 0; i < 3; ++i) {
    const pid_t child = start_child();
    if (child == 0) {
      skip_pieces(file, 10);
      _exit(0);
    }
    wait_for(child);
    skip_pieces(file, 10);
  }
}

// The one who has read ahead ends; who is left goes on where it was.
BEHAVIOUR(child_ends_and_parent_goes_on) {
  const int file = open_pieces("file");
  const pid_t child = start_child();
  if (child == 0) {
    skip_pieces(file, 33);
    _exit(0);
  }
  wait_for(child);
  skip_pieces(file, 1);
}

BEHAVIOUR(executed_program_goes_on) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  const pid_t child = start_child();
  if (child == 0) {
    dup2(file, 0);
    skip_pieces(0, 20);
    execl(program_path(), "contract", "--print", "word", NULL);
    _exit(1);
  }
  say_end("child", child);
  SHOW(lseek(file, 0, SEEK_CUR));
}

BEHAVIOUR(vfork_child_reads) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  const pid_t child = vfork();
  if (child == 0) {
    uint32_t words[kPiece / sizeof(uint32_t)];
    _exit(read(file, words, kPiece) == kPiece ? (int)words[0] : 255);
  }
  say_end("child", child);
  skip_pieces(file, 20);
}

BEHAVIOUR(number_is_used_again) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  MUST(close(file));
  SHOW(next_piece(file));
  FACT(open("file", O_RDONLY) == file);
  skip_pieces(file, 20);
  const int other = (int)MUST(open("file", O_RDONLY));
  MUST(dup2(other, file));
  skip_pieces(file, 1);
  skip_pieces(other, 1);
}

BEHAVIOUR(file_is_written_to) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  const int writer = (int)MUST(open("file", O_WRONLY));
  skip_pieces(file, 20);
  const uint32_t number = 4711;
  SHOW(pwrite(writer, &number, sizeof(number), 40 * kPiece));
  skip_pieces(file, 1);
  MUST(close(writer));
  skip_pieces(file, 20);
  const int again = (int)MUST(open("file", O_WRONLY));
  SHOW(pwrite(again, &number, sizeof(number), 61 * kPiece));
  skip_pieces(file, 1);
}

BEHAVIOUR(file_is_cut) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  SHOW(truncate("file", 21 * kPiece));
  skip_pieces(file, 1);
  skip_pieces(file, 1);
  make_pieces("file");
  skip_pieces(file, 20);
  MUST(close((int)MUST(open("file", O_WRONLY | O_TRUNC))));
  skip_pieces(file, 1);
}

BEHAVIOUR(file_is_replaced) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  make_file("other", "abc");
  SHOW(rename("other", "file"));
  skip_pieces(file, 20);
  SHOW(unlink("file"));
  skip_pieces(file, 20);
}

// A mapping through which the file can be written outlives the descriptor.
BEHAVIOUR(file_is_mapped) {
  make_pieces("file");
  const int writer = (int)MUST(open("file", O_RDWR));
  uint32_t* words = mmap(NULL, kPieces * kPiece, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
  FACT(words != MAP_FAILED);
  MUST(close(writer));
  const int file = (int)MUST(open("file", O_RDONLY));
  skip_pieces(file, 20);
  words[20 * kPiece / sizeof(uint32_t)] = 4711;
  skip_pieces(file, 1);
}

BEHAVIOUR(reads_and_writes_through_one) {
  make_pieces("file");
  const int file = (int)MUST(open("file", O_RDWR));
  skip_pieces(file, 20);
  const uint32_t words[kPiece / sizeof(uint32_t)] = {4711};
  SHOW(write(file, words, kPiece));
  skip_pieces(file, 1);
  SHOW(lseek(file, -2 * kPiece, SEEK_CUR));
  skip_pieces(file, 2);
}

BEHAVIOUR(two_files_in_turn) {
  const int one = open_pieces("one");
  const int two = open_pieces("two");
  int wrong = 0;
  for (int i = 0; i < kPieces; ++i) {
    wrong += next_piece(one) != i;
    wrong += next_piece(two) != i;
  }
  say("%d wrong", wrong);
}

// What does not fit the memory is not taken from the file.
BEHAVIOUR(bad_memory) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  SHOW(read(file, (void*)8, kPiece));
  skip_pieces(file, 1);
  char* pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MUST(munmap(pages + 4096, 4096));
  skip_pieces(file, 20);
  SHOW(read(file, pages + 4096 - 100, kPiece));
  SHOW(lseek(file, 0, SEEK_CUR));
  SHOW(read(file, NULL, 0));
  SHOW(read(file, (void*)-1, kPiece));
}

// Memory that has not been touched yet is as good as any other.
BEHAVIOUR(fresh_memory) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  char* memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int wrong = 0;
  for (uint32_t i = 20; i < 200; ++i) {
    char* at = memory + (i - 20) * 5000;
    wrong += read(file, at, kPiece) != kPiece || memcmp(at, &i, sizeof(i)) != 0;
  }
  say("%d wrong", wrong);
}

BEHAVIOUR(watcher_is_told) {
  const int file = open_pieces("file");
  skip_pieces(file, 20);
  const int watcher = (int)MUST(inotify_init1(IN_NONBLOCK));
  MUST(inotify_add_watch(watcher, ".", IN_ACCESS));
  skip_pieces(file, 20);
  char events[4096];
  FACT(read(watcher, events, sizeof(events)) > 0);
  skip_pieces(file, 1);
  FACT(read(watcher, events, sizeof(events)) > 0);
}

static int shared_file;
static unsigned char seen[kPieces];

static void* read_some(void* unused) {
  (void)unused;
  for (;;) {
    const int piece = next_piece(shared_file);
    if (piece < 0) {
      return NULL;
    }
    __atomic_fetch_add(&seen[piece], 1, __ATOMIC_RELAXED);
  }
}

// Each piece goes to one thread.
BEHAVIOUR(threads_divide_the_file) {
  shared_file = open_pieces("file");
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) {
    MUST(pthread_create(&threads[i], NULL, read_some, NULL));
  }
  for (int i = 0; i < 4; ++i) {
    pthread_join(threads[i], NULL);
  }
  int wrong = 0;
  for (int i = 0; i < kPieces; ++i) {
    wrong += seen[i] != 1;
  }
  say("%d wrong", wrong);
}

// So it is with processes.
BEHAVIOUR(processes_divide_the_file) {
  const int file = open_pieces("file");
  unsigned char* shared =
      mmap(NULL, kPieces, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t children[3];
  for (int i = 0; i < 3; ++i) {
    children[i] = start_child();
    if (children[i] == 0) {
      for (int piece; (piece = next_piece(file)) >= 0;) {
        __atomic_fetch_add(&shared[piece], 1, __ATOMIC_RELAXED);
      }
      _exit(0);
    }
  }
  int wrong = 0;
  for (int i = 0; i < 3; ++i) {
    wait_for(children[i]);
  }
  for (int i = 0; i < kPieces; ++i) {
    wrong += shared[i] != 1;
  }
  say("%d wrong", wrong);
}
