#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Each program checks one thing after another, prints one line for each that fails, and a last line
// with the count. Its exit code is 0 if none failed.
static int failures;
static int checks;

#define CHECK(condition)                                                      \
  do {                                                                        \
    ++checks;                                                                 \
    if (!(condition)) {                                                       \
      ++failures;                                                             \
      printf("FAILED line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
    }                                                                         \
  } while (0)

// The call fails with that errno.
#define CHECK_ERROR(call, expected)                                                                \
  do {                                                                                             \
    ++checks;                                                                                      \
    errno = 0;                                                                                     \
    const long check_result = (long)(call);                                                        \
    if (check_result != -1 || errno != (expected)) {                                               \
      ++failures;                                                                                  \
      printf("FAILED line %d: %s returned %ld, errno %d, not %s\n", __LINE__, #call, check_result, \
             errno, #expected);                                                                    \
    }                                                                                              \
  } while (0)

static int finish(void) {
  printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
