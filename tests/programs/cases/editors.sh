# grep, sed, gawk, find, xargs and lua, with what they use of the system.
mkdir -p a/b c; for i in 1 2 3; do echo "line $i alpha" > a/f$i; echo "line $i beta" > a/b/g$i; done
grep -rl beta a | sort; grep -rc alpha a | sort | tail -1; grep -nE '^line [12]' a/f1 a/f2; grep -P 'l(?=ine)' -o a/f3; grep -q none a/f1 || echo absent
sed -i 's/line/LINE/; $a last' a/f1; cat a/f1; sed -n '2,$p;1!G' a/f1 | wc -l; printf '1\n2\n3\n' | sed -n '$!{h;d};H;x;p'
gawk 'BEGIN { while (("echo x; echo y" | getline line) > 0) n++; print n; close("echo x; echo y") } { w[$3]++ } END { for (k in w) print k, w[k] | "sort"; close("sort") }' a/f2 a/f3 a/b/*
gawk 'BEGIN { cmd = "cat"; print "both ways" |& cmd; close(cmd, "to"); cmd |& getline answer; print answer; print strftime("%F", 0, 1), toupper("x"), substr("hello", 2, 3) }'
find a -type f -name '*1' -exec wc -l {} + | tail -1 | tr -s ' '; find a -newer a/f2 -type f -size -2k | wc -l | tr -d ' ' | sed 's/[0-9]*/counted/'
find a -type f -print0 | sort -z | xargs -0 -n2 -P2 echo | wc -l; find a -depth -mindepth 1 -delete && rmdir a && echo deleted
lua5.4 - <<'END'
local f = assert(io.open("t.txt", "w")); f:write("one\ntwo\n"); f:close()
for line in io.lines("t.txt") do io.write(line, " ") end
local p = io.popen("echo piped"); print(p:read("l")); print(p:close())
print(os.execute("exit 3")); print(os.rename("t.txt", "u.txt"), os.remove("u.txt"), os.getenv("HOME"))
local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end); print(co(), co(), co())
print(string.format("%5.2f %s", math.pi, ("x"):rep(3)), #table.pack(("a,b,c"):match("(%a),(%a),(%a)")))
print(pcall(error, "caught"))
END
