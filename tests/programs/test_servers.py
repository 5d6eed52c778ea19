"""Servers under load, killed and started again: redis, PostgreSQL, nginx, Python's own, sshd, tmux."""

import pytest

from tests.harness.configuration import is_root
from tests.harness.programs import need, script
from tests.harness.runner import Runner

pytestmark = pytest.mark.configs("native", "seccomp")

REDIS = """7
OK
3
yes
1-1
Background append only file rewriting started
maxmemory
0
killed 137
yes
a
b
c
1-1
field
value
all keys are there
OK
ended 0
"""

NGINX = """hello
hello
1627735810 100000
xxxxxxxxxx
404
Complete requests:      300
Failed requests:        0
HTML transferred:       30000000 bytes
2
1
hello
ended 0
pid file is gone
"""

POSTGRES = """initialised
42|nobody
1
pgbench 0
number of failed transactions: 0 (0.000%)
t
client 2
100000
was terminated by signal 9: Killed
all server processes terminated; reinitializing
redo done
stopped 0
Database cluster state:               shut down
"""

HTTP = """hello
3231941463 108894
3849962138 871152
404
501
ended 143
10
curl 7
"""

SSH = """there 42
ssh 5
/dev/pts/N
2052179976 588895
another key 255
ended 0
"""

TMUX = """2
0 60x12
1 60x12
40x10
ended 0
"""


def test_redis_and_its_append_only_file(runner: Runner) -> None:
    need("redis-server", "redis-server")
    need("redis-benchmark", "redis-tools")
    result = runner.run(["bash", script(runner, "redis.sh")])
    assert result.stdout == REDIS, result


def test_nginx_with_two_workers(runner: Runner) -> None:
    for program, package in (("nginx", "nginx-light"), ("ab", "apache2-utils"), ("wrk", "wrk"), ("curl", "curl")):
        need(program, package)
    result = runner.run(["bash", script(runner, "nginx.sh")])
    assert result.stdout == NGINX, result


def test_postgres_recovers_from_a_killed_backend(runner: Runner) -> None:
    if not is_root():
        pytest.skip("the server refuses users without a name, and only root can become one that has one")
    need("pg_ctl", "postgresql")
    runner.work.chmod(0o777)
    command = ["bash", str(script(runner, "postgres.sh"))]
    if runner.is_native:
        result = runner.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command])
    else:
        result = runner.run(command, options=["--user=nobody"])
    assert result.stdout == POSTGRES, result


@pytest.mark.configs("native", "seccomp", "ptrace", "user")
def test_python_web_server(runner: Runner) -> None:
    need("curl", "curl")
    assert runner.run(["bash", script(runner, "http.sh")]).stdout == HTTP


@pytest.mark.configs("native", "seccomp", "ptrace", "user")
def test_tmux(runner: Runner) -> None:
    need("tmux", "tmux")
    result = runner.run(["bash", script(runner, "tmux.sh")])
    assert result.stdout == TMUX, result


@pytest.mark.configs("seccomp", "ptrace")  # natively it would need a directory of the host's
def test_sshd(runner: Runner) -> None:
    need("sshd", "openssh-server")
    need("ssh", "openssh-client")
    result = runner.run(["bash", script(runner, "ssh.sh")])
    assert result.stdout == SSH, result
