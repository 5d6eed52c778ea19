# A tracer comes and goes while another process waits for a line.
mkfifo line
{ read -r word < line; echo "$word"; } &
child=$!
strace -o trace -p $child 2> said &
tracer=$!
until grep -q attached said; do sleep 0.05; done
grep -o attached said
kill -INT $tracer
wait $tracer
grep -o detached said
echo "it goes on" > line
wait $child
