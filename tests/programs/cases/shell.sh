# Pipelines, jobs, traps and substitutions.
seq 1000 | grep 7 | wc -l
(sleep 0.1; exit 3) &
wait $!
echo ended $?
trap 'echo caught' USR1
kill -USR1 $$
declare -A map=([a]=1 [b]=2)
echo ${#map[@]} ${map[b]}
cat <(echo one) <(echo two)
{ sh -c 'kill -9 $$'; } 2>/dev/null
echo killed $?
