# gcc, as and ld, by make.
cat > a.c <<'END'
#include <stdio.h>
int main(void) { printf("%d\n", 6 * 7); }
END
printf 'all: one two\none two: a.c\n\t@gcc -O1 -o $@ $<\n' > Makefile
make -j2 && ./one && ./two && make -q && echo made
