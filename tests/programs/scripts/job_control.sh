# Job control in a script: background groups, stop, continue, fg, bg, wait.
set -m
exec 2> /dev/null # when bash tells of a death there depends on when it looks
# One process: a shell that waits in vfork(2) for a child that was stopped, too, never stops itself.
sleep 1000 &
job=$!
kill -STOP %1
until [ "$(jobs -s | wc -l)" = 1 ]; do jobs > /dev/null; done
jobs | sed 's/[0-9]\{3,\}/PID/'
bg %1
kill -STOP %1
until [ "$(jobs -s | wc -l)" = 1 ]; do jobs > /dev/null; done
kill -CONT %1
kill -TERM %1
wait $job
echo "ended with $?"
# A background job has a process group of its own.
sleep 100 &
group=$(ps -o pgid= -p $! 2> /dev/null || cut -d' ' -f5 /proc/$!/stat)
[ "$((group))" = "$!" ] && echo "leads its group"
kill %sleep
wait $!
echo "status $?"
(exit 4) &
first=$!
(exit 5) &
second=$!
wait $second
echo "second $?"
wait $first
echo "first $?"
set +m
sleep 100 &
[ "$(cut -d' ' -f5 /proc/$!/stat)" = "$(cut -d' ' -f5 /proc/$$/stat)" ] && echo "shares the group"
kill $!
wait $!
echo "end $?"
