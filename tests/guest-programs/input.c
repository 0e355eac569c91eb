// Input devices, as evdev has them. "abi": what the buttons of a phone and its touch screen answer,
// and events that the program writes itself. "wait DEVICE COUNT": prints so many events that come.
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define BUTTONS "/dev/input/event0"
#define TOUCH "/dev/input/event1"

static int has_bit(const unsigned char* bits, int code) {
  return bits[code / 8] >> code % 8 & 1;
}

static void put(int device, int type, int code, int value) {
  const struct input_event event = {
      .type = (unsigned short)type, .code = (unsigned short)code, .value = value};
  CHECK(write(device, &event, sizeof event) == sizeof event);
}

static int is(const struct input_event* event, int type, int code, int value) {
  return event->type == type && event->code == code && event->value == value;
}

static void check_answers(int buttons) {
  struct stat status;
  CHECK(fstat(buttons, &status) == 0 && S_ISCHR(status.st_mode) &&
        status.st_rdev == (13 << 8 | 64));
  int version = 0;
  CHECK(ioctl(buttons, EVIOCGVERSION, &version) == 0 && version == EV_VERSION);
  struct input_id id;
  CHECK(ioctl(buttons, EVIOCGID, &id) == 0 && id.bustype == BUS_HOST && id.product == 1);
  char name[64];
  CHECK(ioctl(buttons, EVIOCGNAME(sizeof name), name) == 23);
  CHECK(strcmp(name, "Ensemble Phone buttons") == 0);
  CHECK(ioctl(buttons, EVIOCGNAME(4), name) == 4);
  CHECK(ioctl(buttons, EVIOCGPHYS(sizeof name), name) > 0);
  CHECK(ioctl(buttons, EVIOCGUNIQ(sizeof name), name) > 0 && strcmp(name, "phone") == 0);
  unsigned char bits[KEY_MAX / 8 + 1];
  CHECK(ioctl(buttons, EVIOCGBIT(0, sizeof bits), bits) == 8);
  CHECK(has_bit(bits, EV_SYN) && has_bit(bits, EV_KEY) && !has_bit(bits, EV_ABS));
  CHECK(ioctl(buttons, EVIOCGBIT(EV_KEY, sizeof bits), bits) == 96);
  CHECK(has_bit(bits, KEY_POWER) && has_bit(bits, KEY_VOLUMEUP) && !has_bit(bits, KEY_A));
  CHECK(ioctl(buttons, EVIOCGBIT(EV_SW, 1), bits) == 1);
  CHECK_ERROR(ioctl(buttons, EVIOCGBIT(EV_PWR, 8), bits), EINVAL);
  CHECK(ioctl(buttons, EVIOCGPROP(sizeof bits), bits) == 8 && bits[0] == 0);
  CHECK(ioctl(buttons, EVIOCGLED(sizeof bits), bits) == 8 && bits[0] == 0);
  CHECK(ioctl(buttons, EVIOCGSW(sizeof bits), bits) == 8 && bits[0] == 0);
  struct input_absinfo axis;
  CHECK_ERROR(ioctl(buttons, EVIOCGABS(ABS_X), &axis), EINVAL);
  unsigned repeat[2];
  CHECK_ERROR(ioctl(buttons, EVIOCGREP, repeat), ENOSYS);
  CHECK_ERROR(ioctl(buttons, EVIOCGID, NULL), EFAULT);
  CHECK_ERROR(ioctl(buttons, _IOR('E', 0x99, int), &version), EINVAL);
  CHECK_ERROR(lseek(buttons, 0, SEEK_CUR), ESPIPE);
}

static void check_touch(void) {
  const int touch = open(TOUCH, O_RDWR | O_NONBLOCK);
  CHECK(touch >= 0);
  unsigned char bits[8];
  CHECK(ioctl(touch, EVIOCGPROP(sizeof bits), bits) == 8 && has_bit(bits, INPUT_PROP_DIRECT));
  struct input_absinfo axis;
  CHECK(ioctl(touch, EVIOCGABS(ABS_MT_POSITION_Y), &axis) == 0);
  CHECK(axis.minimum == 0 && axis.maximum == 2399 && axis.resolution == 17);
  CHECK(ioctl(touch, EVIOCGABS(ABS_MT_SLOT), &axis) == 0 && axis.maximum == 9 && axis.value == 0);
  CHECK(ioctl(touch, EVIOCGABS(ABS_PRESSURE), &axis) == 0 && axis.maximum == 0);
  struct {
    unsigned code;
    int values[10];
  } slots = {.code = ABS_MT_TRACKING_ID};
  CHECK(ioctl(touch, EVIOCGMTSLOTS(sizeof slots), &slots) == 0 && slots.values[3] == -1);
  put(touch, EV_ABS, ABS_MT_SLOT, 3);
  put(touch, EV_ABS, ABS_MT_TRACKING_ID, 7);
  put(touch, EV_ABS, ABS_MT_TRACKING_ID, 7);
  put(touch, EV_SYN, SYN_REPORT, 0);
  CHECK(ioctl(touch, EVIOCGMTSLOTS(sizeof slots), &slots) == 0 && slots.values[3] == 7);
  struct input_event events[8];
  CHECK(read(touch, events, sizeof events) == 3 * sizeof *events);
  CHECK(is(&events[0], EV_ABS, ABS_MT_SLOT, 3) && is(&events[1], EV_ABS, ABS_MT_TRACKING_ID, 7));
  slots.code = ABS_X;
  CHECK_ERROR(ioctl(touch, EVIOCGMTSLOTS(sizeof slots), &slots), EINVAL);
  close(touch);
}

static void check_events(int buttons) {
  struct input_event events[600];
  struct pollfd polled = {.fd = buttons, .events = POLLIN};
  CHECK_ERROR(read(buttons, events, sizeof events), EAGAIN);
  CHECK_ERROR(read(buttons, events, 23), EINVAL);
  CHECK(poll(&polled, 1, 0) == 0);
  put(buttons, EV_KEY, KEY_POWER, 1);
  CHECK(poll(&polled, 1, 0) == 0);
  put(buttons, EV_SYN, SYN_REPORT, 0);
  put(buttons, EV_KEY, KEY_A, 1);
  put(buttons, EV_KEY, KEY_POWER, 1);
  put(buttons, EV_SYN, SYN_REPORT, 0);
  CHECK(poll(&polled, 1, 0) == 1 && polled.revents == POLLIN);
  CHECK(read(buttons, events, sizeof *events + 5) == sizeof *events);
  CHECK(is(&events[0], EV_KEY, KEY_POWER, 1) && events[0].input_event_sec > 1600000000);
  CHECK(read(buttons, events, sizeof events) == sizeof *events);
  CHECK(is(&events[0], EV_SYN, SYN_REPORT, 0));
  // The state has it; only the end of the report is told after it.
  unsigned char keys[KEY_MAX / 8 + 1];
  put(buttons, EV_KEY, KEY_VOLUMEUP, 1);
  put(buttons, EV_SYN, SYN_REPORT, 0);
  CHECK(ioctl(buttons, EVIOCGKEY(sizeof keys), keys) == 96 && has_bit(keys, KEY_POWER) &&
        has_bit(keys, KEY_VOLUMEUP));
  CHECK(read(buttons, events, sizeof events) == sizeof *events);
  CHECK(is(&events[0], EV_SYN, SYN_REPORT, 0));
  CHECK_ERROR(read(buttons, events, sizeof events), EAGAIN);
  // More than there is room for.
  for (int i = 0; i < 400; ++i) {
    put(buttons, EV_KEY, KEY_POWER, i % 2);
    put(buttons, EV_SYN, SYN_REPORT, 0);
  }
  CHECK(read(buttons, events, sizeof events) > 0);
  CHECK(is(&events[0], EV_SYN, SYN_DROPPED, 0));
  while (read(buttons, events, sizeof events) > 0) {
  }
}

static void check_sharing(int buttons) {
  const int other = open(BUTTONS, O_RDONLY | O_NONBLOCK);
  CHECK(other >= 0);
  const int clock = CLOCK_MONOTONIC;
  const int bad_clock = CLOCK_PROCESS_CPUTIME_ID;
  CHECK(ioctl(other, EVIOCSCLOCKID, &clock) == 0);
  CHECK_ERROR(ioctl(other, EVIOCSCLOCKID, &bad_clock), EINVAL);
  struct input_event event;
  put(buttons, EV_KEY, KEY_VOLUMEUP, 0);
  put(buttons, EV_SYN, SYN_REPORT, 0);
  CHECK(read(other, &event, sizeof event) == sizeof event && event.input_event_sec < 1000000);
  CHECK(read(other, &event, sizeof event) == sizeof event);
  CHECK(ioctl(buttons, EVIOCGRAB, 1) == 0);
  CHECK_ERROR(ioctl(other, EVIOCGRAB, 1), EBUSY);
  CHECK_ERROR(ioctl(other, EVIOCGRAB, 0), EINVAL);
  put(buttons, EV_KEY, KEY_VOLUMEUP, 1);
  put(buttons, EV_SYN, SYN_REPORT, 0);
  CHECK_ERROR(read(other, &event, sizeof event), EAGAIN);
  CHECK(ioctl(buttons, EVIOCGRAB, 0) == 0);
  CHECK(ioctl(other, EVIOCREVOKE, 0) == 0);
  CHECK_ERROR(read(other, &event, sizeof event), ENODEV);
  CHECK_ERROR(ioctl(other, EVIOCGVERSION, &clock), ENODEV);
  CHECK_ERROR(write(other, &event, sizeof event), EBADF);
  close(other);
}

static int wait_for(const char* path, int count) {
  const int device = open(path, O_RDONLY);
  if (device < 0) {
    perror(path);
    return 1;
  }
  printf("ready\n");
  fflush(stdout);
  struct input_event event;
  while (count-- > 0 && read(device, &event, sizeof event) == sizeof event) {
    printf("%d %d %d\n", event.type, event.code, event.value);
    fflush(stdout);
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "wait") == 0) {
    return wait_for(argv[2], atoi(argv[3]));
  }
  const int buttons = open(BUTTONS, O_RDWR | O_NONBLOCK);
  CHECK(buttons >= 0);
  check_answers(buttons);
  check_touch();
  check_events(buttons);
  check_sharing(buttons);
  CHECK_ERROR(open("/dev/input/event2", O_RDONLY), ENOENT);
  return finish();
}
