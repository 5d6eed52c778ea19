# PostgreSQL: initdb, start, pgbench, kill -9 of a backend, recovery, orderly end
set -u
bin=$(echo /usr/lib/postgresql/*/bin)
export PGDATA=$PWD/data PGHOST=$PWD PGPORT=5499 PGUSER=nobody PGDATABASE=postgres
$bin/initdb -U nobody -A trust --no-sync > initdb.log 2>&1 || { cat initdb.log; exit 1; }
echo initialised
$bin/pg_ctl -w -t 50 -l log -o "-c listen_addresses= -k $PWD -c fsync=off" start > start.log || { cat start.log log; exit 1; }
$bin/psql -Atc "select 6 * 7, current_user"
$bin/pgbench -q -i -s 1 2>&1 | grep -c '^done'
$bin/pgbench -n -c 4 -j 2 -T ${1:-2} > bench.log 2>&1; echo "pgbench $?"; grep 'failed transactions' bench.log
$bin/psql -Atc "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)"
$bin/psql -Atc "select pg_sleep(1000)" > victim.log 2>&1 & client=$!
for _ in $(seq 600); do
  backend=$($bin/psql -Atc "select pid from pg_stat_activity where query like '%sleep(1000)' and pid <> pg_backend_pid()")
  [ -n "$backend" ] && break
  sleep 0.05
done
kill -9 "$backend"; wait $client; echo "client $?"
for _ in $(seq 600); do $bin/pg_isready -q && break; sleep 0.05; done
$bin/psql -Atc "select count(*) from pgbench_accounts"
grep -oE 'was terminated by signal 9: Killed|all server processes terminated; reinitializing|redo done' log
$bin/pg_ctl -w -m fast stop > /dev/null; echo "stopped $?"
$bin/pg_controldata | grep 'cluster state'
