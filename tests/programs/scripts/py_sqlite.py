"""sqlite3 with a write-ahead log on disk, several connections and processes."""

import os
import sqlite3
import subprocess
import sys

if len(sys.argv) > 1:
    connection = sqlite3.connect("data.db", timeout=60)
    for number in range(50):
        with connection:
            connection.execute("insert into t values (?, ?)", (number, sys.argv[1]))
    connection.close()
    raise SystemExit
connection = sqlite3.connect("data.db", timeout=60)
print(connection.execute("pragma journal_mode=wal").fetchone())
with connection:
    connection.execute("create table t (n integer, who text)")
    connection.executemany("insert into t values (?, 'main')", [(n,) for n in range(1000)])
print(sorted(os.listdir(".")))
children = [subprocess.Popen([sys.executable, __file__, f"child{i}"]) for i in range(3)]
print([child.wait() for child in children])
print(connection.execute("select who, count(*), sum(n) from t group by who order by who").fetchall())
second = sqlite3.connect("data.db")
connection.execute("begin immediate")
try:
    second.execute("pragma busy_timeout=0")
    second.execute("insert into t values (1, 'locked')")
except sqlite3.OperationalError as error:
    print(error)
connection.rollback()
print(connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0])
connection.execute("vacuum")
print(connection.execute("pragma integrity_check").fetchone())
second.close()
connection.close()
print(sorted(os.listdir(".")))
