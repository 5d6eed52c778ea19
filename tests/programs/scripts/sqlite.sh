# the sqlite3 shell: WAL, two writers, a killed one, integrity
set -u
sqlite3 db 'pragma journal_mode=wal; create table t(a integer primary key, b text); with recursive n(i) as (select 1 union all select i+1 from n where i<5000) insert into t select i, hex(i) from n; select count(*), sum(a) from t;'
for writer in 1 2; do sqlite3 -cmd '.timeout 30000' db "$(for i in $(seq 50); do echo "insert into t(b) values('w$writer');"; done)" & done; wait
sqlite3 db "select b, count(*) from t where b like 'w%' group by b"
sqlite3 db 'begin immediate; insert into t(b) values("lost"); select 1;' '.shell kill -9 $PPID' 2>/dev/null; echo "writer $?"
sqlite3 db "select count(*) from t where b = 'lost'; pragma integrity_check; pragma wal_checkpoint(truncate); vacuum; pragma journal_mode=delete;"
sqlite3 -csv -header db 'select * from t limit 2' ; sqlite3 db .dump | wc -l
