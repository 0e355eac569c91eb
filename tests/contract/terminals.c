// Pseudo-terminals, sessions and job control: pty(7), termios(3), setsid(2), setpgid(2).
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "contract.h"

static int master;
static int terminal;

static void open_pair(void) {
  master = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));
  MUST(grantpt(master));
  MUST(unlockpt(master));
  terminal = (int)MUST(open(ptsname(master), O_RDWR | O_NOCTTY));
}

static void say_read(const char* who, int from) {
  char text[256];
  struct pollfd ready = {from, POLLIN, 0};
  if (poll(&ready, 1, 100) <= 0) {
    say("%s: nothing", who);
    return;
  }
  ssize_t size = read(from, text, sizeof(text));
  // Echo and output may reach the master in pieces: a line of them ends with \n.
  while (from == master && size > 0 && text[size - 1] != '\n' && poll(&ready, 1, 5000) > 0) {
    const ssize_t more = read(from, text + size, sizeof(text) - (size_t)size);
    if (more <= 0) {
      break;
    }
    size += more;
  }
  if (size < 0) {
    say("%s: %s", who, error_name(errno));
  } else {
    say_bytes(who, text, (size_t)size);
  }
}

BEHAVIOUR(opens) {
  open_pair();
  FACT(isatty(master));
  FACT(isatty(terminal));
  FACT(strncmp(ptsname(master), "/dev/pts/", 9) == 0);
  int ends[2];
  MUST(pipe(ends));
  SHOW(isatty(ends[0]));
  SHOW(isatty(99));
}

BEHAVIOUR(locked_until_unlocked) {
  master = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));
  SHOW(open(ptsname(master), O_RDWR | O_NOCTTY));
  MUST(unlockpt(master));
  DOES(open(ptsname(master), O_RDWR | O_NOCTTY));
}

// Canonical input: by lines, echoed, with erasing; output turns \n into \r\n.
BEHAVIOUR(canonical_line) {
  open_pair();
  MUST(write(master,
             "abX\x7f"
             "c",
             5));
  say_read("early", terminal);
  MUST(write(master, "\r", 1));
  say_read("line", terminal);
  say_read("echo", master);
  MUST(write(terminal, "out\n", 4));
  say_read("output", master);
}

BEHAVIOUR(line_keys) {
  open_pair();
  MUST(write(master, "one two\x17three\n", 14));
  say_read("word erased", terminal);
  MUST(write(master, "one two\x15three\n", 14));
  say_read("line killed", terminal);
  MUST(write(master, "part\x04", 5));
  say_read("end in line", terminal);
  MUST(write(master, "\x04", 1));
  say_read("end", terminal);
  MUST(write(master, "\x16\x03\n", 3));
  say_read("literal", terminal);
}

// Lines are read one at a time, in pieces if the reader asks for less.
BEHAVIOUR(several_lines) {
  open_pair();
  char text[8];
  MUST(write(master, "first\nsecond\n", 13));
  SHOW(read(terminal, text, 3));
  SHOW(read(terminal, text, 8));
  SHOW(read(terminal, text, 8));
}

static void make_raw(cc_t minimum, cc_t time) {
  struct termios settings;
  MUST(tcgetattr(terminal, &settings));
  cfmakeraw(&settings);
  settings.c_cc[VMIN] = minimum;
  settings.c_cc[VTIME] = time;
  MUST(tcsetattr(terminal, TCSANOW, &settings));
}

BEHAVIOUR(raw_mode) {
  open_pair();
  make_raw(1, 0);
  MUST(write(master, "a\r\x03", 3));
  say_read("raw", terminal);
  say_read("echo", master);
  MUST(write(terminal, "x\n", 2));
  say_read("output", master);
}

BEHAVIOUR(raw_timing) {
  open_pair();
  char text[8];
  make_raw(0, 0);
  SHOW(read(terminal, text, 8));
  make_raw(0, 1);
  SHOW(read(terminal, text, 8));
  make_raw(3, 0);
  MUST(write(master, "abcd", 4));
  SHOW(read(terminal, text, 8));
}

BEHAVIOUR(settings) {
  open_pair();
  struct termios settings;
  SHOW(tcgetattr(terminal, &settings));
  say("%x %x %x %x", settings.c_iflag, settings.c_oflag, settings.c_cflag, settings.c_lflag);
  say_bytes("characters", settings.c_cc, 17);
  settings.c_lflag &= ~(tcflag_t)ECHO;
  SHOW(tcsetattr(terminal, TCSAFLUSH, &settings));
  MUST(tcgetattr(master, &settings));
  FACT((settings.c_lflag & ECHO) == 0);
  SHOW(tcgetattr(make_file("file", ""), &settings));
}

BEHAVIOUR(window_size) {
  open_pair();
  struct winsize size = {.ws_row = 24, .ws_col = 80};
  SHOW(ioctl(master, TIOCSWINSZ, &size));
  memset(&size, 0, sizeof(size));
  SHOW(ioctl(terminal, TIOCGWINSZ, &size));
  say("%d %d", size.ws_row, size.ws_col);
}

BEHAVIOUR(hang_up) {
  open_pair();
  char byte;
  close(master);
  SHOW(read(terminal, &byte, 1));
  SHOW(write(terminal, "x", 1));
  open_pair();
  close(terminal);
  SHOW(read(master, &byte, 1));
}

// Runs the block as the leader of a session whose terminal is `terminal`.
#define IN_SESSION(...)                    \
  do {                                     \
    const pid_t leader = start_child();    \
    if (leader == 0) {                     \
      on_signal(SIGTTOU, SIG_IGN, 0);      \
      MUST(setsid());                      \
      MUST(ioctl(terminal, TIOCSCTTY, 0)); \
      __VA_ARGS__;                         \
      _exit(0);                            \
    }                                      \
    say_end("leader", leader);             \
  } while (0)

BEHAVIOUR(controlling_terminal) {
  open_pair();
  SHOW(tcgetpgrp(terminal));
  IN_SESSION({
    FACT(tcgetpgrp(terminal) == getpid());
    FACT(tcgetsid(terminal) == getpid());
    DOES(open("/dev/tty", O_RDWR));
    on_signal(SIGHUP, count_signal, 0);
    SHOW(ioctl(terminal, TIOCNOTTY));
    say("SIGHUP %d times", (int)signal_count);
    SHOW(open("/dev/tty", O_RDWR));
  });
}

// ^C, ^\ and ^Z go to the foreground group.
BEHAVIOUR(signals_of_keys) {
  open_pair();
  IN_SESSION({
    static const char kKeys[] = {3, 0x1c, 0x1a};
    for (int i = 0; i < 3; ++i) {
      const pid_t job = start_child();
      if (job == 0) {
        MUST(setpgid(0, 0));
        for (;;) {
          pause();
        }
      }
      setpgid(job, job);
      MUST(tcsetpgrp(terminal, job));
      MUST(write(master, &kKeys[i], 1));
      int status;
      MUST(waitpid(job, &status, WUNTRACED));
      say_status("job", status);
      kill(job, SIGKILL);
      waitpid(job, &status, 0);
    }
  });
}

// Reading in the background stops with SIGTTIN; when that is ignored, it fails with EIO.
BEHAVIOUR(background_read) {
  open_pair();
  IN_SESSION({
    for (int round = 0; round < 2; ++round) {
      const pid_t job = start_child();
      if (job == 0) {
        MUST(setpgid(0, 0));
        if (round == 1) {
          on_signal(SIGTTIN, SIG_IGN, 0);
        }
        char byte;
        SHOW(read(terminal, &byte, 1));
        _exit(0);
      }
      setpgid(job, job);
      int status;
      MUST(waitpid(job, &status, WUNTRACED));
      say_status("job", status);
      kill(job, SIGKILL);
      waitpid(job, &status, 0);
    }
  });
}

BEHAVIOUR(background_write) {
  open_pair();
  IN_SESSION({
    struct termios settings;
    MUST(tcgetattr(terminal, &settings));
    for (int round = 0; round < 2; ++round) {
      const pid_t job = start_child();
      if (job == 0) {
        on_signal(SIGTTOU, SIG_DFL, 0);
        MUST(setpgid(0, 0));
        SHOW(write(terminal, "x", 1));
        _exit(0);
      }
      setpgid(job, job);
      int status;
      MUST(waitpid(job, &status, WUNTRACED));
      say_status("job", status);
      kill(job, SIGKILL);
      waitpid(job, &status, 0);
      settings.c_lflag |= TOSTOP;
      MUST(tcsetattr(terminal, TCSANOW, &settings));
    }
  });
}

// The end of the session's leader sends SIGHUP to the foreground.
BEHAVIOUR(leader_ends) {
  open_pair();
  int ends[2];
  MUST(pipe(ends));
  IN_SESSION({
    if (start_child() == 0) {
      on_signal(SIGHUP, count_signal, 0);
      MUST(write(ends[1], "r", 1));
      while (signal_count == 0) {
        sleep_ms(2);
      }
      MUST(write(ends[1], "h", 1));
      _exit(0);
    }
    char byte;
    MUST(read(ends[0], &byte, 1));
  });
  char byte = 0;
  SHOW(read(ends[0], &byte, 1));
  say("%c", byte);
}

BEHAVIOUR(sessions) {
  const pid_t child = start_child();
  if (child == 0) {
    FACT(setsid() == getpid());
    FACT(getpgrp() == getpid());
    FACT(getsid(0) == getpid());
    SHOW(setsid());
    SHOW(setpgid(0, 0));
    SHOW(setpgid(0, getppid()));
    _exit(0);
  }
  say_end("child", child);
}

BEHAVIOUR(process_groups) {
  const pid_t child = start_child();
  if (child == 0) {
    pause();
    _exit(0);
  }
  SHOW(setpgid(child, child));
  FACT(getpgid(child) == child);
  SHOW(setpgid(child, getpgrp()));
  FACT(getpgid(child) == getpgrp());
  SHOW(setpgid(child, -1));
  SHOW(setpgid(1 << 29, 0));
  SHOW(getpgid(1 << 29));
  SHOW(setpgid(child, 1 << 29));
  kill(child, SIGKILL);
  wait_for(child);
}

// struct termio, as programs from before termios have it; <termio.h> cannot be included beside
// <termios.h>.
struct old_settings {
  unsigned short input, output, control, local;
  unsigned char line, characters[8];
};

BEHAVIOUR(old_settings) {
  open_pair();
  struct termios now;
  struct old_settings old;
  MUST(tcgetattr(terminal, &now));
  SHOW(ioctl(terminal, TCGETA, &old));
  FACT(old.input == (unsigned short)now.c_iflag && old.local == (unsigned short)now.c_lflag);
  FACT(memcmp(old.characters, now.c_cc, sizeof(old.characters)) == 0);
  old.local &= (unsigned short)~ICANON;
  old.characters[VINTR] = 'x';
  SHOW(ioctl(terminal, TCSETA, &old));
  SHOW(ioctl(terminal, TCSETAW, &old));
  SHOW(ioctl(terminal, TCSETAF, &old));
  MUST(tcgetattr(terminal, &now));
  FACT((now.c_lflag & ICANON) == 0 && (now.c_lflag & ECHO) != 0);
  FACT(now.c_cc[VINTR] == 'x');
  SHOW(ioctl(terminal, TCGETA, NULL));
  SHOW(ioctl(terminal, TCSETA, NULL));
  int ends[2];
  MUST(pipe(ends));
  SHOW(ioctl(ends[0], TCGETA, &old));
}

// The kernel's struct termios.
struct locks {
  unsigned input, output, control, local;
  unsigned char line, characters[19];
};

BEHAVIOUR(locked_settings) {
  open_pair();
  struct locks locks;
  memset(&locks, 0xff, sizeof(locks));
  SHOW(ioctl(terminal, TIOCGLCKTRMIOS, &locks));
  FACT(locks.input == 0 && locks.local == 0 && locks.characters[VINTR] == 0);
  locks.local = ECHO;
  locks.characters[VEOF] = 1;
  SHOW(ioctl(terminal, TIOCSLCKTRMIOS, &locks));
  struct termios now;
  MUST(tcgetattr(terminal, &now));
  now.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
  now.c_cc[VEOF] = 'e';
  now.c_cc[VKILL] = 'k';
  MUST(tcsetattr(terminal, TCSANOW, &now));
  MUST(tcgetattr(terminal, &now));
  FACT((now.c_lflag & ECHO) != 0 && (now.c_lflag & ICANON) == 0);
  FACT(now.c_cc[VEOF] != 'e' && now.c_cc[VKILL] == 'k');
  memset(&locks, 0, sizeof(locks));
  MUST(ioctl(terminal, TIOCGLCKTRMIOS, &locks));
  FACT(locks.local == ECHO && locks.characters[VEOF] == 1);
  MUST(setresuid(1000, 1000, 1000));
  SHOW(ioctl(terminal, TIOCSLCKTRMIOS, &locks));
}
