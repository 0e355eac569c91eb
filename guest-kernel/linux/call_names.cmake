# Writes CALL(number, "name") for each system call of <asm/unistd_64.h> to OUTPUT.
find_file(header asm/unistd_64.h PATHS /usr/include/x86_64-linux-gnu /usr/include NO_DEFAULT_PATH REQUIRED)
file(STRINGS ${header} lines REGEX "^#define __NR_[a-z0-9_]+ [0-9]+$")
set(text "")
foreach(line IN LISTS lines)
  string(REGEX REPLACE "^#define __NR_([a-z0-9_]+) ([0-9]+)$" "CALL(\\2, \"\\1\")\n" entry "${line}")
  string(APPEND text "${entry}")
endforeach()
file(WRITE ${OUTPUT} "${text}")
