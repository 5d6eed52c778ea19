# 200 forks, pipelines of several processes, here-documents, process substitution, coprocesses.
set -u
total=0
for i in $(seq 1 200); do
    value=$(/bin/echo "$i")
    total=$((total + value))
done
echo "total $total"
seq 1 500 | while read -r n; do echo "line $n"; done | grep 7 | sort -t' ' -k2,2n | tail -n 3
for i in 1 2 3 4 5 6 7 8; do
    (seq $((i * 10)) | tac | head -n 1 | cat | cat) &
done | sort -n
wait
read -r -d '' text <<'END'
raw $HOME `text`
END
echo "$text"
cat <<END
expanded $((1 << 10)) $(printf '%s' nested)
END
cat <<< "here string"
diff <(seq 1 5) <(seq 1 6)
echo "diff $?"
coproc upper { while read -r line; do echo "${line^^}"; done; }
echo "via coprocess" >&"${upper[1]}"
read -r answer <&"${upper[0]}"
echo "$answer"
false | true
echo "pipe status ${PIPESTATUS[*]} $?"
set -o pipefail
(exit 3) | cat
echo "pipefail $?"
sh -c "kill -TERM \$\$" & wait $!
echo "killed $?"
exec 9> descriptor.txt
echo through nine >&9
exec 9>&-
cat descriptor.txt
mapfile -t lines < <(seq 3)
echo "${#lines[@]} ${lines[2]}"
yes | head -n 2
