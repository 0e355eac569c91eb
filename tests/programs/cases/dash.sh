# dash: here-documents, functions, traps, redirections, fifos, limits.
cat > t.sh <<'END'
cat <<'RAW'
$not expanded
RAW
name=world
cat <<-TEXT | tr a-z A-Z
	hello $name $(echo inner) $((6 * 7))
	TEXT
sum() { total=0; for each; do total=$((total + each)); done; echo $total; }
sum 1 2 3 | { read answer; echo "sum $answer"; }
{ echo out; echo error >&2; } 2>&1 >/dev/null | sed 's/^/got /'
exec 5>five; echo five >&5; exec 5>&-; cat five
i=0; while read -r line; do i=$((i + 1)); done < /etc/passwd; [ $i -gt 10 ] && echo read
trap 'echo on exit' EXIT
trap 'echo on term' TERM
kill -TERM $$
(exit 7); echo "status $?"
case abc in a?c) echo matched;; esac
set -- a 'b c' d; shift; echo "$# $1"
mkfifo pipe; (echo through > pipe) & cat pipe; wait
echo *.nothing; : > x1; : > x2; echo x[12]
seq 3 | while read n; do echo $n; done | (read a; read b; echo $b$a)
ulimit -n 64; ulimit -n
umask 027; : > private; ls -l private | cut -c1-10
END
dash t.sh 2>&1
printf '#!/bin/dash\necho "script $0 $1"\n' > s; chmod +x s; ./s argument
dash -c 'exec sh -c "echo replaced"'
echo 'echo from input' | dash
