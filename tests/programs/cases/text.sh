# find, sed, sort, gawk, lua and grep.
find /usr/lib/python3.11/json -name '*.py' | sed 's,.*/,,' | sort | tr '\n' ' '
echo
seq 20000 | gawk '{ sum += $1 } END { print sum }'
lua5.4 -e 'local s = 0 for i = 1, 20000 do s = s + i end print(s)'
seq 20000 | sort -rn | head -n 1
grep -c '^def ' /usr/lib/python3.11/json/__init__.py
