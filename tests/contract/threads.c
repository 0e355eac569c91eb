// Threads: pthreads(7), clone(2), set_tid_address(2).
#include <linux/sched.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "contract.h"

static pthread_t start(void* (*function)(void*), void* argument) {
  pthread_t thread;
  const int error = pthread_create(&thread, NULL, function, argument);
  if (error != 0) {
    say("cannot begin: pthread_create: %s", error_name(error));
    _exit(99);
  }
  return thread;
}

static long join(pthread_t thread) {
  void* result = NULL;
  const int error = pthread_join(thread, &result);
  if (error != 0) {
    say("pthread_join: %s", error_name(error));
  }
  return (long)result;
}

static void* add_one(void* argument) {
  return (void*)((long)argument + 1);
}

BEHAVIOUR(result_of_join) {
  say("result %ld", join(start(add_one, (void*)41)));
}

static void* check_identity(void* argument) {
  const pid_t* main_thread = argument;
  FACT(getpid() == *main_thread);
  FACT(syscall(SYS_gettid) != *main_thread);
  return NULL;
}

BEHAVIOUR(identity) {
  pid_t process = getpid();
  FACT(syscall(SYS_gettid) == process);
  join(start(check_identity, &process));
}

static __thread int local = 5;
static void* change_local(void* argument) {
  local += (int)(long)argument;
  return (void*)(long)local;
}

BEHAVIOUR(thread_local_storage) {
  local = 100;
  const long one = join(start(change_local, (void*)1));
  const long other = join(start(change_local, (void*)2));
  say("%ld %ld %d", one, other, local);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long shared;

static void* count_up(void* argument) {
  (void)argument;
  for (int i = 0; i < 20000; ++i) {
    pthread_mutex_lock(&mutex);
    ++shared;
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

BEHAVIOUR(mutex_excludes) {
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) {
    threads[i] = start(count_up, NULL);
  }
  for (int i = 0; i < 4; ++i) {
    join(threads[i]);
  }
  say("%ld", shared);
}

static void* take_turns(void* argument) {
  const long me = (long)argument;
  for (int i = 0; i < 200; ++i) {
    pthread_mutex_lock(&mutex);
    while (shared % 2 != me) {
      pthread_cond_wait(&condition, &mutex);
    }
    ++shared;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

BEHAVIOUR(condition_alternates) {
  const pthread_t one = start(take_turns, (void*)0);
  const pthread_t other = start(take_turns, (void*)1);
  join(one);
  join(other);
  say("%ld", shared);
}

BEHAVIOUR(condition_times_out) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_nsec += 30000000;
  end.tv_sec += end.tv_nsec / 1000000000;
  end.tv_nsec %= 1000000000;
  pthread_mutex_lock(&mutex);
  int error;
  while ((error = pthread_cond_timedwait(&condition, &mutex, &end)) == 0) {
  }
  say("%s", error_name(error));
  say("%s", error_name(pthread_mutex_trylock(&mutex)));
}

static void* lock_and_end(void* argument) {
  pthread_mutex_lock(argument);
  return NULL;
}

// A robust mutex whose owner ended gives EOWNERDEAD, and can be made consistent.
BEHAVIOUR(robust_mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_t robust;
  pthread_mutex_init(&robust, &attributes);
  join(start(lock_and_end, &robust));
  say("%s", error_name(pthread_mutex_lock(&robust)));
  SHOW(pthread_mutex_consistent(&robust));
  SHOW(pthread_mutex_unlock(&robust));
  SHOW(pthread_mutex_lock(&robust));
}

// The same between processes, through shared memory.
BEHAVIOUR(robust_mutex_of_process) {
  pthread_mutex_t* robust =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(robust, &attributes);
  const pid_t child = start_child();
  if (child == 0) {
    pthread_mutex_lock(robust);
    raise(SIGKILL);
  }
  say_end("owner", child);
  say("%s", error_name(pthread_mutex_lock(robust)));
  SHOW(pthread_mutex_unlock(robust));
  say("%s", error_name(pthread_mutex_lock(robust)));
}

BEHAVIOUR(error_checking_mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_t checking;
  pthread_mutex_init(&checking, &attributes);
  say("%s", error_name(pthread_mutex_unlock(&checking)));
  SHOW(pthread_mutex_lock(&checking));
  say("%s", error_name(pthread_mutex_lock(&checking)));
}

// A mutex with priority inheritance goes through the kernel's FUTEX_LOCK_PI when contended.
static void* count_with(void* argument) {
  for (int i = 0; i < 500; ++i) {
    pthread_mutex_lock(argument);
    ++shared;
    sched_yield();
    pthread_mutex_unlock(argument);
  }
  return NULL;
}

BEHAVIOUR(priority_inheritance_mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_t inheriting;
  SHOW(pthread_mutex_init(&inheriting, &attributes));
  const pthread_t one = start(count_with, &inheriting);
  const pthread_t other = start(count_with, &inheriting);
  join(one);
  join(other);
  say("%ld", shared);
}

static void say_cleanup(void* argument) {
  say("clean-up %s", (const char*)argument);
}

static void* wait_for_cancel(void* argument) {
  int ends[2];
  MUST(pipe(ends));
  pthread_cleanup_push(say_cleanup, "outer");
  pthread_cleanup_push(say_cleanup, "inner");
  sem_post(argument);
  char byte;
  MUST(read(ends[0], &byte, 1));
  pthread_cleanup_pop(0);
  pthread_cleanup_pop(0);
  return NULL;
}

// A blocking call is a cancellation point.
BEHAVIOUR(cancel_in_read) {
  sem_t ready;
  sem_init(&ready, 0, 0);
  const pthread_t thread = start(wait_for_cancel, &ready);
  sem_wait(&ready);
  const int cancelled = pthread_cancel(thread);
  FACT((void*)join(thread) == PTHREAD_CANCELED);
  SHOW(cancelled);
}

static void* run_for_ever(void* argument) {
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  sem_post(argument);
  for (volatile int i = 0; i >= 0; i = 1) {
  }
  return NULL;
}

BEHAVIOUR(cancel_at_once) {
  sem_t ready;
  sem_init(&ready, 0, 0);
  const pthread_t thread = start(run_for_ever, &ready);
  sem_wait(&ready);
  const int cancelled = pthread_cancel(thread);
  FACT((void*)join(thread) == PTHREAD_CANCELED);
  SHOW(cancelled);
}

static void* sleep_long(void* argument) {
  (void)argument;
  pause();
  return NULL;
}

// exit of any thread ends the process; the end of the main thread alone does not.
static void* exit_process(void* argument) {
  exit((int)(long)argument);
}

BEHAVIOUR(exit_ends_all_threads) {
  const pid_t child = start_child();
  if (child == 0) {
    start(sleep_long, NULL);
    start(exit_process, (void*)6);
    pause();
  }
  say_end("process", child);
}

static void* outlive_main(void* argument) {
  join(*(pthread_t*)argument);
  say("main thread has ended");
  _exit(8);
}

BEHAVIOUR(main_thread_ends_first) {
  const pid_t child = start_child();
  if (child == 0) {
    pthread_t self = pthread_self();
    start(outlive_main, &self);
    pthread_exit(NULL);
  }
  say_end("process", child);
}

// fork copies the calling thread only.
static void* fork_here(void* argument) {
  (void)argument;
  const pid_t child = start_child();
  if (child == 0) {
    FACT(getpid() == syscall(SYS_gettid));
    _exit(4);
  }
  say_end("child", child);
  return NULL;
}

BEHAVIOUR(fork_in_thread) {
  start(sleep_long, NULL);
  join(start(fork_here, NULL));
}

// execve in a thread ends the others, and the program has the process's number.
static void* execute_here(void* argument) {
  execl(program_path(), "contract", "--print", "exit", "12", (char*)NULL);
  return argument;
}

BEHAVIOUR(exec_in_thread) {
  const pid_t child = start_child();
  if (child == 0) {
    start(sleep_long, NULL);
    start(execute_here, NULL);
    pause();
  }
  say_end("program", child);
}

// A fatal signal to one thread ends all.
static void* die_here(void* argument) {
  raise(SIGUSR1);
  return argument;
}

BEHAVIOUR(fatal_signal_ends_all) {
  const pid_t child = start_child();
  if (child == 0) {
    start(sleep_long, NULL);
    start(die_here, NULL);
    pause();
  }
  say_end("process", child);
}

// Each thread has a mask of its own; a signal to the process goes to one that does not block it.
static pid_t handled_by;
static void keep_thread(int signal) {
  (void)signal;
  handled_by = (pid_t)syscall(SYS_gettid);
}

static void* take_signal(void* argument) {
  (void)argument;
  sigset_t none;
  sigemptyset(&none);
  SHOW(sigsuspend(&none));
  FACT(handled_by == syscall(SYS_gettid));
  return NULL;
}

BEHAVIOUR(signal_finds_thread) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  on_signal(SIGUSR1, keep_thread, 0);
  MUST(pthread_sigmask(SIG_BLOCK, &set, NULL));
  const pthread_t thread = start(take_signal, NULL);
  // Only the thread speaks of it: which of the two goes on first is not a behaviour.
  MUST(kill(getpid(), SIGUSR1));
  join(thread);
}

static void* wait_for_handler(void* argument) {
  while (*(volatile pid_t*)&handled_by == 0) {
    sleep_ms(2);
  }
  FACT(handled_by == syscall(SYS_gettid));
  return argument;
}

BEHAVIOUR(signal_to_thread) {
  on_signal(SIGUSR1, keep_thread, 0);
  const pthread_t thread = start(wait_for_handler, NULL);
  const int sent = pthread_kill(thread, SIGUSR1);
  join(thread);
  SHOW(sent);
}

BEHAVIOUR(barrier) {
  static pthread_barrier_t all;
  pthread_barrier_init(&all, NULL, 1);
  FACT(pthread_barrier_wait(&all) == PTHREAD_BARRIER_SERIAL_THREAD);
}

static void* enter_read_lock(void* argument) {
  say("try write: %s", error_name(pthread_rwlock_trywrlock(argument)));
  say("try read: %d", pthread_rwlock_tryrdlock(argument));
  pthread_rwlock_unlock(argument);
  return NULL;
}

BEHAVIOUR(read_write_lock) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_rwlock_rdlock(&lock);
  join(start(enter_read_lock, &lock));
  pthread_rwlock_unlock(&lock);
  SHOW(pthread_rwlock_trywrlock(&lock));
}

BEHAVIOUR(semaphore_between_processes) {
  sem_t* both = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  sem_init(both, 1, 0);
  sem_init(both + 1, 1, 0);
  const pid_t child = start_child();
  if (child == 0) {
    for (int i = 0; i < 100; ++i) {
      sem_wait(both);
      sem_post(both + 1);
    }
    _exit(0);
  }
  for (int i = 0; i < 100; ++i) {
    sem_post(both);
    sem_wait(both + 1);
  }
  say_end("child", child);
  SHOW(sem_trywait(both));
}

static void* nothing(void* argument) {
  return argument;
}

BEHAVIOUR(many_threads_in_turn) {
  for (long i = 0; i < 300; ++i) {
    if (join(start(nothing, (void*)i)) != i) {
      say("wrong result");
    }
  }
  say("done");
}

BEHAVIOUR(many_threads_at_once) {
  pthread_t threads[64];
  for (long i = 0; i < 64; ++i) {
    threads[i] = start(add_one, (void*)i);
  }
  long sum = 0;
  for (int i = 0; i < 64; ++i) {
    sum += join(threads[i]);
  }
  say("%ld", sum);
}

// clone's own rules on flags: each needs the one before.
BEHAVIOUR(clone_flags) {
  SHOW(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0));
  SHOW(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0));
  SHOW(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0));
  struct clone_args arguments = {.exit_signal = 100};
  SHOW(syscall(SYS_clone3, &arguments, sizeof(arguments)));
  SHOW(syscall(SYS_clone3, &arguments, 8));
}

BEHAVIOUR(clone3_as_fork) {
  pid_t number = 0;
  struct clone_args arguments = {
      .flags = CLONE_PARENT_SETTID, .parent_tid = (uint64_t)&number, .exit_signal = SIGCHLD};
  const pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (child == 0) {
    _exit(11);
  }
  FACT(child > 0 && number == child);
  say_end("child", child);
}

// CLONE_FILES and CLONE_FS share the table of descriptors and the working directory.
static int share(void* argument) {
  (void)argument;
  close(2);
  return chdir("/") == 0 ? 7 : 1;
}

BEHAVIOUR(clone_shares_files) {
  static char stack[65536] __attribute__((aligned(16)));
  const pid_t child =
      clone(share, stack + sizeof(stack), CLONE_FILES | CLONE_FS | CLONE_VM | SIGCHLD, NULL);
  say_end("child", child);
  SHOW(fcntl(2, F_GETFD));
  char directory[4096];
  say("%s", getcwd(directory, sizeof(directory)));
}

// Without a signal number, only __WALL or __WCLONE waits for the child.
BEHAVIOUR(clone_without_signal) {
  const pid_t child = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
  if (child == 0) {
    _exit(2);
  }
  int status;
  SHOW(waitpid(child, &status, 0));
  FACT(waitpid(child, &status, __WALL) == child);
  say_status("child", status);
}
