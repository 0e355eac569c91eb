# gcc: a library, threads, a header of its own, optimised; ar, nm, strip.
cat > l.h <<'END'
int twice(int);
END
cat > l.c <<'END'
#include "l.h"
int twice(int n) { return 2 * n; }
END
cat > m.c <<'END'
#include "l.h"
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
static sigjmp_buf back;
static void caught(int number) { siglongjmp(back, number); }
static void *run(void *argument) { return (void *)(long)twice((int)(long)argument); }
int main(void) {
  pthread_t threads[8];
  long sum = 0;
  for (long i = 0; i < 8; i++) pthread_create(&threads[i], NULL, run, (void *)i);
  for (int i = 0; i < 8; i++) { void *result; pthread_join(threads[i], &result); sum += (long)result; }
  signal(SIGSEGV, caught);
  int number = sigsetjmp(back, 1);
  volatile int *volatile nowhere = (int *)8;
  if (number == 0) *nowhere = 1;
  printf("%ld %.3f signal %d\n", sum, sqrt(2), number);
  return 5;
}
END
gcc -O2 -Wall -fPIC -shared -o libl.so l.c
gcc -O2 -Wall -o dynamic m.c -L. -ll -lm -Wl,-rpath,'$ORIGIN' && ./dynamic; echo $?
gcc -c l.c && ar rcs libl.a l.o && nm libl.a | grep -c twice
gcc -static -O1 -flto -o still m.c libl.a -lm && strip still && ./still; echo $?
echo 'int main(void) { return x; }' | gcc -x c - 2>&1 | grep -c error
echo 'int main(void) { __builtin_trap(); }' | gcc -x c -o trap - && sh -c './trap; echo $?' 2>/dev/null
printf 'a: b\n\t@echo made a\nb:\n\t@echo made b; false\n' > Makefile; make -k 2>&1 | grep -c 'made\|Error'
printf '%%.o: %%.c\n\t@gcc -c $< -o $@\nall: l.o m.o\n\t@echo $(words $^) $(shell echo shell)\n' > M2; rm -f *.o; make -j3 -f M2 all; make -f M2 all
