# redis: a server with an append-only file, the benchmark, a kill and what the restarted server knows
set -u
wait_for() { for _ in $(seq 600); do redis-cli -p 6399 ping 2>/dev/null | grep -q PONG && return; sleep 0.05; done; echo "no answer"; cat log; exit 1; }
serve() { redis-server --port 6399 --bind 127.0.0.1 --dir "$PWD" --save '' --appendonly yes --appendfsync always --logfile "$PWD/log" & server=$!; wait_for; }
cli() { redis-cli -p 6399 "$@"; }
serve
redis-benchmark -p 6399 -n 400 -c 10 -P 4 -q -t set,get,incr,lpush,lrange_100,mset 2>/dev/null | tr '\r' '\n' | grep -c 'requests per second'
cli set kept yes
cli rpush list a b c
cli eval 'return redis.call("get", KEYS[1])' 1 kept
cli xadd stream 1-1 field value
cli bgrewriteaof
cli config get maxmemory
size=$(cli dbsize)
kill -9 $server; wait $server 2>/dev/null; echo "killed $?"
serve
cli get kept
cli lrange list 0 -1
cli xrange stream - +
[ "$(cli dbsize)" = "$size" ] && echo "all keys are there"
cli save
cli shutdown nosave
wait $server; echo "ended $?"
