"""Docker: its daemon with pysentry as a runtime that `pysentry install` registered; what its commands do and say."""

from __future__ import annotations

import json
import signal

import pytest

from tests.harness.docker import Docker
from tests.harness.engine_images import BUSYBOX
from tests.harness.patience import wait_until
from tests.oci.at_terminal import at_terminal

TICKING = "trap 'echo asked; exit 4' TERM; i=0; while :; do i=$((i+1)); echo $i > /data/ticks; sleep 0.02; done"


class Ticking:
    """A container whose loop counts in a file of the host's: a paused container takes no exec."""

    def __init__(self, docker: Docker) -> None:
        place = docker.host.directory / f"ticks-{next(docker.names)}"
        place.mkdir()
        self.file = place / "ticks"
        self.name = docker.background("sh", "-c", TICKING, options=[f"--volume={place}:/data"])
        wait_until(lambda: self.count, "it ticks")

    @property
    def count(self) -> int:
        return int((self.file.read_text() if self.file.exists() else "") or 0)


def test_it_is_registered(docker: Docker) -> None:
    runtimes = json.loads(docker("info", "--format={{json .Runtimes}}").stdout)
    assert runtimes[docker.runtime]["path"] == str(docker.path)


def test_run(docker: Docker) -> None:
    script = "pwd; hostname; echo $A; exit 3"
    done = docker.run("-e", "A=b", "-w", "/var", "--hostname=box", BUSYBOX, "sh", "-c", script, status=3)
    assert done.stdout == "/var\nbox\nb\n"
    assert docker.run(BUSYBOX, "/no/such", status=None).status == 127
    assert docker.run(BUSYBOX, "/etc/passwd", status=None).status == 126
    assert docker.run("-i", BUSYBOX, "cat", stdin=b"line\n" * 20_000).stdout == "line\n" * 20_000


def test_options(docker: Docker) -> None:
    assert docker.run("--user=guest", BUSYBOX, "id", "-un").stdout == "guest\n"
    assert docker.run("--read-only", "--tmpfs=/tmp", BUSYBOX, "sh", "-c", "touch /tmp/x && ! touch /x").stdout == ""
    capabilities = docker.run("--cap-drop=all", "--cap-add=chown", BUSYBOX, "grep", "CapEff", "/proc/self/status")
    assert int(capabilities.stdout.split()[1], 16) == 1
    volume = docker.host.directory / "volume"
    volume.mkdir()
    docker.run("-v", f"{volume}:/data", BUSYBOX, "sh", "-c", "echo kept > /data/file")
    assert (volume / "file").read_text() == "kept\n"
    assert docker.run("--init", BUSYBOX, "sh", "-c", "echo $PPID").stdout == "1\n"
    seen = docker.run("--oom-score-adj=700", BUSYBOX, "cat", "/proc/self/oom_score_adj")
    assert seen.stdout == "700\n"


def test_limits(docker: Docker) -> None:
    options = ("--memory=64m", "--pids-limit=50")
    name = docker.background(options=options)
    file = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert docker("exec", name, "cat", file).stdout == f"{64 << 20}\n"
    docker("update", "--memory=32m", "--memory-swap=32m", name)
    assert docker("exec", name, "cat", file).stdout == f"{32 << 20}\n"


def test_terminal(docker: Docker) -> None:
    with at_terminal(docker, "run", "--rm", "-it", "--network=none", BUSYBOX, "sh", rows=33, columns=99) as terminal:
        terminal.expect("# ")
        terminal.send("stty size; [ -t 0 ] && [ -t 2 ] && echo both\n")
        terminal.expect("33 99\n")
        terminal.expect("both\n")
        terminal.interrupt_cat()
        terminal.expect("# ")
        terminal.send("exit 5\n")
        assert terminal.finish() == 5


def test_exec(docker: Docker) -> None:
    name = docker.background("sh", "-c", "echo x > /tmp/file; exec sleep 1000")
    done = docker("exec", name, "sh", "-c", "echo out; echo err >&2; exit 7", status=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert docker("exec", "-i", name, "cat", stdin=b"typed\n").stdout == "typed\n"
    options = ("--user=guest", "-w", "/var", "-e", "A=b")
    assert docker("exec", *options, name, "sh", "-c", "id -un; pwd; echo $A").stdout == "guest\n/var\nb\n"
    assert docker("exec", name, "/no/such", status=None).status in (126, 127)
    docker("exec", "-d", name, "sh", "-c", "echo done > /tmp/detached")
    wait_until(lambda: docker("exec", name, "ls", "/tmp").stdout == "detached\nfile\n", "the detached one has run")


def test_exec_at_a_terminal(docker: Docker) -> None:
    name = docker.background()
    with at_terminal(docker, "exec", "-it", name, "sh", rows=30, columns=90) as terminal:
        terminal.expect("# ")
        terminal.send("stty size; tty\n")
        terminal.expect("30 90\n")
        terminal.expect("/dev/(pts/[0-9]+|console)\n")
        terminal.interrupt_cat()
        terminal.expect("# ")
        terminal.send("exit 6\n")
        assert terminal.finish() == 6


def test_logs_and_wait(docker: Docker) -> None:
    name = docker.background("sh", "-c", "for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 9")
    assert docker("wait", name).stdout == "9\n"
    shown = docker("logs", name)
    assert (shown.stdout, shown.stderr) == ("out 1\nout 2\nout 3\n", "err 1\nerr 2\nerr 3\n")
    assert docker.inspected(name)["State"]["ExitCode"] == 9


def test_stop_and_start_again(docker: Docker) -> None:
    name = Ticking(docker).name
    docker("stop", "-t", "20", name)
    assert docker.inspected(name)["State"]["ExitCode"] == 4
    assert docker("logs", name).stdout == "asked\n"
    docker("start", name)
    assert docker.state(name) == "running"
    pid = docker.inspected(name)["State"]["Pid"]
    docker("restart", "-t", "0", name)
    assert docker.state(name) == "running"
    assert docker.inspected(name)["State"]["Pid"] != pid


def test_stop_kills_what_does_not_listen(docker: Docker) -> None:
    name = docker.background("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done")
    wait_until(lambda: docker("logs", name).stdout == "deaf\n", "it is deaf")
    docker("stop", "-t", "1", name)
    assert docker.inspected(name)["State"]["ExitCode"] == 128 + signal.SIGKILL


def test_kill(docker: Docker) -> None:
    name = docker.background("sh", "-c", "trap 'exit 8' USR1; echo ready; while :; do sleep 0.02; done")
    wait_until(lambda: docker("logs", name).stdout == "ready\n", "it is ready")
    docker("kill", "-s", "USR1", name)
    assert docker("wait", name).stdout == "8\n"
    assert "is not running" in docker("kill", name, status=1).stderr


def test_pause(docker: Docker) -> None:
    ticking = Ticking(docker)
    name = ticking.name
    docker("pause", name)
    assert docker.state(name) == "paused"
    assert "is paused" in docker("exec", name, "true", status=None).stderr
    stood = ticking.count
    docker("unpause", name)
    wait_until(lambda: ticking.count > stood, "it goes on")


def test_stats(docker: Docker) -> None:
    script = "x=$(dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\\0' x); echo full; while :; do sleep 1000; done"
    name = docker.background("sh", "-c", script, options=["--memory=256m"])
    wait_until(lambda: docker("logs", name).stdout == "full\n", "it has filled its memory")
    shown = json.loads(docker("stats", "--no-stream", "--format={{json .}}", name).stdout)
    used, limit = shown["MemUsage"].split(" / ")
    assert limit == "256MiB"
    assert used.endswith("MiB")
    assert 8 <= float(used.removesuffix("MiB")) < 256
    assert int(shown["PIDs"]) >= 2


def test_top(docker: Docker) -> None:
    """ps of the host, by the pids of the runtime's own `ps`."""
    name = docker.background("sh", "-c", "sleep 1001 & wait")
    wait_until(lambda: "sleep 1001" in docker("top", name).stdout, "top shows the program")


def test_copy(docker: Docker) -> None:
    name = docker.background("sh", "-c", "sleep 1000")
    place = docker.host.directory / "copied"
    place.mkdir(exist_ok=True)
    (place / "in").write_text("given\n")
    docker("cp", place / "in", f"{name}:/tmp/in")
    wait_until(lambda: docker("exec", name, "cat", "/tmp/in", status=None).stdout == "given\n", "the copy is seen")
    docker("exec", name, "sh", "-c", "cat /tmp/in /tmp/in > /tmp/out")
    docker("cp", f"{name}:/tmp/out", place / "out")
    assert (place / "out").read_text() == "given\ngiven\n"


def test_restart_policy(docker: Docker) -> None:
    name = docker.background("sh", "-c", "echo again; exit 1", options=["--restart=on-failure:2"])
    wait_until(lambda: docker("logs", name).stdout == "again\n" * 3, "it was started three times")
    wait_until(lambda: docker.state(name) == "exited", "it is given up")


@pytest.mark.parametrize("count", [4])
def test_containers_side_by_side(docker: Docker, count: int) -> None:
    names = [docker.background(options=[f"--hostname=h{number}"]) for number in range(count)]
    for number, name in enumerate(names):
        assert docker("exec", name, "hostname").stdout == f"h{number}\n"
        assert docker("exec", name, "ps", "-o", "args").stdout.count("sleep") == 1
