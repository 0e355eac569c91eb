# GNU's small tools.
seq 12 > n; seq 5 2 15 > m
join <(sort n) <(sort m) | paste -sd, -
comm -12 <(sort n) <(sort m) | tac | tr '\n' ' '; echo
cut -c2 n | sort -u | wc -l
od -An -tx1 <(printf 'abc\n'); printf abc | base64; printf 'abc' | cksum
head -c 100000 /dev/zero | sha256sum | cut -c1-16
split -l 5 n part. && wc -l part.* | tail -1
csplit -s n 4 9 && wc -l < xx01
printf 'one two three' | fold -w 5 -s | nl -ba
shuf --random-source=/usr/bin/bash -n 2 n | wc -l
numfmt --to=iec 1048576; factor 360; expr 7 \* 6; seq -s+ 4 | tee copy; cat copy
mkdir -p d/e/f; install -m 750 n d/e/n; stat -c '%a %s %F' d/e/n d/e
ln n hard; ln -s n soft; stat -c %h n; readlink -f soft | sed 's,.*/,,'
cp -a d d2; diff -r d d2 2>/dev/null || true; mv d2 d3; ls -R d3 | wc -l; rm -r d3; ls d3 2>/dev/null || echo none
touch -d '2001-02-03 04:05:06 UTC' old; date -u -r old +%FT%T; [ n -nt old ] && echo newer
truncate -s 1M big; du --apparent-size -k big | cut -f1; dd if=/dev/zero of=big bs=4k count=3 seek=2 conv=notrunc status=none; stat -c %s big
timeout 0.2 sleep 5; echo "timeout $?"; env -i A=1 env; nice -n 5 nice
sort -t: -k3n /etc/passwd | head -2 | cut -d: -f1; sort -R --random-source=n n | sort -c 2>/dev/null || echo shuffled
sleep 0.1 | tail -f --pid=$! -n 1 n 2>/dev/null | head -1
mktemp -p . t.XXXXXX | wc -c; chmod u=rwx,go= n; stat -c %A n; id -un; pwd | sed 's,.*/,/,'
basename /a/b.c .c; dirname /a/b/c; realpath --relative-to=/usr/bin /usr/lib; test -S n || echo 'no socket'
yes | head -1000 | uniq -c; cat n | tr -d '\n' | rev 2>/dev/null | head -c0; tsort <<< 'a b b c' | tr '\n' ' '; echo
stdbuf -o0 echo unbuffered; pr -T -3 -l4 n | head -1 | tr -s ' \t' ' '; echo 'tab	x' | expand -t4; printf '%05.1f|%-4s|%x\n' 3.14159 ab 255
