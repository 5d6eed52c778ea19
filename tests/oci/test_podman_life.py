"""The life of containers under podman: stop, kill, pause, restart; what is read of them meanwhile; pods; images."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.harness.engine_images import BUSYBOX
from tests.harness.patience import wait_until
from tests.harness.podman import Podman

TICKING = "trap 'echo asked; exit 4' TERM; i=0; while :; do i=$((i+1)); echo $i > /tmp/ticks; sleep 0.02; done"


def ticks(podman: Podman, name: str) -> int:
    """How far the loop of TICKING is, read from outside: a paused container takes no exec."""
    merged = podman.inspect(name, ".GraphDriver.Data.MergedDir")
    path = podman.host.root(merged) / "tmp" / "ticks"
    text = path.read_text() if path.exists() else ""
    return int(text or 0)


def test_logs(podman: Podman) -> None:
    name = podman.background("sh", "-c", "for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    assert podman("wait", name).stdout == "0\n"
    shown = podman("logs", name)
    assert shown.stdout == "out 1\nout 2\nout 3\n"
    assert shown.stderr == "err 1\nerr 2\nerr 3\n"
    assert podman("logs", "--tail=1", name).stdout + podman("logs", "--tail=1", name).stderr


def test_stop_asks_first(podman: Podman) -> None:
    name = podman.background("sh", "-c", TICKING)
    wait_until(lambda: ticks(podman, name), "it ticks")
    podman("stop", "-t", "20", name)
    assert podman.inspect(name, ".State.ExitCode") == "4"
    assert podman("logs", name).stdout == "asked\n"


def test_stop_kills_what_does_not_listen(podman: Podman) -> None:
    name = podman.background("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    podman("stop", "-t", "1", name)
    assert podman.inspect(name, ".State.ExitCode") == "137"
    assert podman.inspect(name, ".State.Status") == "exited"


def test_kill(podman: Podman) -> None:
    script = "trap 'echo hup' HUP; trap 'exit 9' USR2; echo ready; while :; do sleep 0.02; done"
    name = podman.background("sh", "-c", script)
    wait_until(lambda: "ready" in podman("logs", name).stdout, "it is ready")
    podman("kill", "-s", "HUP", name)
    wait_until(lambda: "hup" in podman("logs", name).stdout, "the signal was handled")
    podman("kill", "-s", "USR2", name)
    assert podman("wait", name).stdout == "9\n"
    assert podman("kill", name, status=None).status != 0


def test_pause(podman: Podman) -> None:
    name = podman.background("sh", "-c", TICKING)
    wait_until(lambda: ticks(podman, name), "it ticks")
    podman("pause", name)
    assert podman.inspect(name, ".State.Status") == "paused"
    # What was under way when it was frozen is seen to have stopped.
    wait_until(lambda: standing(podman, name), "it stands still")
    podman("unpause", name)
    stood = ticks(podman, name)
    wait_until(lambda: ticks(podman, name) > stood, "it goes on")


def standing(podman: Podman, name: str) -> bool:
    before = ticks(podman, name)
    time.sleep(0.2)  # ten times what the loop waits
    return ticks(podman, name) == before


def test_stop_of_a_paused_container(podman: Podman) -> None:
    name = podman.background()
    podman("pause", name)
    podman("rm", "-f", "-t", "0", name)


def test_restart(podman: Podman) -> None:
    name = podman.background("sh", "-c", "echo run >> /tmp/runs; echo up; exec sleep 1000")
    first = podman.inspect(name, ".State.Pid")
    podman("restart", "-t", "0", name)
    assert podman.inspect(name, ".State.Status") == "running"
    assert podman.inspect(name, ".State.Pid") != first
    wait_until(lambda: podman("exec", name, "cat", "/tmp/runs").stdout == "run\nrun\n", "it ran twice")


def test_start_again(podman: Podman) -> None:
    name = podman.background("sh", "-c", "echo $(cat /proc/sys/kernel/hostname); exit 2")
    assert podman("wait", name).stdout == "2\n"
    podman("start", name)
    assert podman("wait", name).stdout == "2\n"
    lines = podman("logs", name).stdout.splitlines()
    assert len(lines) == 2
    assert len(set(lines)) == 1


def test_create_then_start_attached(podman: Podman) -> None:
    name = next(podman.names)
    podman("create", f"--name={name}", "--network=none", BUSYBOX, "sh", "-c", "echo attached; exit 3")
    assert podman.inspect(name, ".State.Status") == "created"
    assert podman("start", "-a", name, status=3).stdout == "attached\n"


def test_stats(podman: Podman) -> None:
    # 8 MB in use: a shell variable holds them.
    script = "x=$(dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\\0' x); echo full; while :; do sleep 1000; done"
    name = podman.background("sh", "-c", script, options=["--memory=256m", "--pids-limit=100"])
    wait_until(lambda: "full" in podman("logs", name).stdout, "it has filled its memory")
    (shown,) = json.loads(podman("stats", "--no-stream", "--format=json", name).stdout)
    used, limit = shown["mem_usage"].split(" / ")
    assert limit == "268.4MB"
    number, unit = float(used.rstrip("kMGB")), used.lstrip("0123456789.")
    assert unit == "MB"
    assert 8 <= number < 256
    assert int(shown["pids"]) >= 2
    assert shown["cpu_time"] != "0s"


def test_top(podman: Podman) -> None:
    """With options of ps it is the container's own ps, by exec."""
    name = podman.background("sh", "-c", "sleep 1001 & wait")
    assert "sleep 1001" in podman("top", name, "-o", "pid,args").stdout


def test_top_of_podman(podman: Podman) -> None:
    """Without them podman enters the mount namespace of the container's pid and reads /proc there."""
    name = podman.background("sh", "-c", "sleep 1001 & wait")
    wait_until(lambda: "sleep 1001" in podman("top", name).stdout, "podman's own top shows the program")
    podman("exec", "-d", name, "sleep", "1002")
    wait_until(lambda: "sleep 1002" in podman("top", name).stdout, "and the one that exec added")
    rows = [line.split() for line in podman("top", name, "pid,ppid,args").stdout.splitlines()]
    assert rows[0] == ["PID", "PPID", "COMMAND"]
    assert ["1", "0", "sh", "-c", "sleep", "1001", "&", "wait"] in rows
    assert [row[1] for row in rows if row[2:] == ["sleep", "1001"]] == ["1"]
    assert len(rows) == 4


def test_inspect(podman: Podman) -> None:
    name = podman.background(options=["--label=a=b"])
    found = podman.inspected(name)
    assert found["State"]["Running"]
    assert found["OCIRuntime"] == podman.name
    assert found["State"]["Pid"] in podman.host.processes()
    podman("kill", name)
    podman("wait", name)
    found = podman.inspected(name)
    assert (found["State"]["Status"], found["State"]["ExitCode"], found["State"]["OOMKilled"]) == ("exited", 137, False)


def test_copy_while_it_runs(podman: Podman) -> None:
    """podman finds the path in the mount namespace of the container's pid."""
    name = podman.background()
    place = podman.host.directory / f"copied-{name}"
    place.mkdir()
    (place / "in").write_text("given\n")
    podman("exec", name, "ls", "/tmp/in", status=1)  # not there: what the runtime remembers of it must not last
    podman("cp", place / "in", f"{name}:/tmp/in")
    assert podman("exec", name, "cat", "/tmp/in").stdout == "given\n"
    podman("exec", name, "sh", "-c", "cat /tmp/in /tmp/in > /tmp/out; chown 5:6 /tmp/out")
    podman("cp", f"{name}:/tmp/out", place / "out")
    assert (place / "out").read_text() == "given\ngiven\n"
    podman("cp", place, f"{name}:/tmp/all")
    assert podman("exec", name, "cat", "/tmp/all/in", "/tmp/all/out").stdout == "given\n" * 3


def test_copy_is_seen_by_what_runs(podman: Podman) -> None:
    script = "until [ -s /tmp/in ]; do sleep 0.05; done; cat /tmp/in; exec sleep 1000"
    name = podman.background("sh", "-c", script)
    place = podman.host.directory / "copied-late"
    place.write_text("late\n")
    podman("cp", place, f"{name}:/tmp/in")
    wait_until(lambda: podman("logs", name).stdout == "late\n", "it sees the file")


def test_copy_into_a_volume(podman: Podman) -> None:
    volume = podman.host.directory / "copied-volume"
    volume.mkdir()
    place = podman.host.directory / "for-the-volume"
    place.write_text("kept\n")
    name = podman.background(options=[f"--volume={volume}:/data"])
    podman("cp", place, f"{name}:/data/file")
    assert (volume / "file").read_text() == "kept\n"
    assert podman("exec", name, "cat", "/data/file").stdout == "kept\n"


def test_copy_into_what_is_read_only(podman: Podman) -> None:
    """Also into a file system in memory: it is the sandbox's, and nothing must land where nobody finds it."""
    place = podman.host.directory / "not-for-it"
    place.write_text("lost\n")
    volume = podman.host.directory / "closed-volume"
    volume.mkdir()
    name = podman.background(options=[f"--volume={volume}:/data:ro", "--tmpfs=/memory"])
    podman("cp", place, f"{name}:/data/file", status=125)
    assert not list(volume.iterdir())
    if podman.name == "pysentry":
        podman("cp", place, f"{name}:/memory/file", status=125)
        assert podman("exec", name, "ls", "-A", "/memory").stdout == ""
    sealed = podman.background(options=["--read-only"])
    podman("cp", place, f"{sealed}:/etc/file", status=125)


@pytest.fixture
def overlay(podman: Podman) -> Iterator[str]:
    """An option of podman's with which the container has an overlay, as the operator allows it."""
    if podman.name != "pysentry":
        pytest.skip("an annotation of ours")
    allowed = podman.host.root("/etc/pysentry/config.toml")
    allowed.parent.mkdir(exist_ok=True)
    allowed.write_text('allowed_annotations = ["dev.pysentry.overlay"]\n')
    yield "--annotation=dev.pysentry.overlay=true"
    allowed.unlink()


def test_top_and_copy_with_an_overlay(podman: Podman, overlay: str) -> None:
    """What is only in memory cannot be copied, nor may what is below it be taken for it; a volume can."""
    volume = podman.host.directory / "overlay-volume"
    volume.mkdir()
    place = podman.host.directory / "over-it"
    place.write_text("given\n")
    name = podman.background(options=[overlay, f"--volume={volume}:/data"])
    wait_until(lambda: "sleep 1000" in podman("top", name).stdout, "podman's own top shows the program")
    podman("exec", name, "sh", "-c", "echo changed > /etc/release")
    for words in ([place, f"{name}:/tmp/in"], [f"{name}:/etc/release", podman.host.directory / "out-of-it"]):
        assert "could not be found" in podman("cp", *words, status=125).stderr
    assert podman("exec", name, "ls", "/tmp").stdout == ""
    podman("cp", place, f"{name}:/data/file")
    assert podman("exec", name, "cat", "/data/file").stdout == "given\n"
    podman("stop", "-t", "0", name)
    podman("cp", f"{name}:/etc/release", podman.host.directory / "out-of-it")
    assert (podman.host.directory / "out-of-it").read_text() == "busybox root of the tests\n"


def test_copy_while_it_does_not_run(podman: Podman) -> None:
    name = podman.background("sh", "-c", "cat /etc/in; echo back > /tmp/out")
    place = podman.host.directory / "copied-later"
    place.mkdir()
    (place / "in").write_text("given\n")
    podman("wait", name)
    podman("cp", place / "in", f"{name}:/etc/in")
    podman("start", name)
    podman("wait", name)
    assert "given" in podman("logs", name).stdout
    podman("cp", f"{name}:/tmp/out", place / "out")
    assert (place / "out").read_text() == "back\n"


def test_changed_limits(podman: Podman) -> None:
    """`podman update` came with 4.3: the memory limit of a running container."""
    name = podman.background(options=["--memory=256m"])
    podman("update", "--memory=128m", name)
    assert podman("exec", name, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes").stdout == f"{128 << 20}\n"


def test_health(podman: Podman) -> None:
    # The timer would be systemd's; the check is run by hand.
    options = ["--health-cmd=test -e /tmp/well", "--health-interval=disable", "--health-retries=1"]
    name = podman.background(options=options)
    podman("healthcheck", "run", name, status=1)
    podman("exec", name, "touch", "/tmp/well")
    podman("healthcheck", "run", name)


def test_commit(podman: Podman) -> None:
    name = podman.background("sh", "-c", "echo kept > /etc/kept; chown 5:6 /etc/kept; chmod 640 /etc/kept")
    podman("wait", name)
    podman("commit", "-q", name, "localhost/committed")
    assert podman.run("localhost/committed", "stat", "-c", "%u:%g %a", "/etc/kept").stdout == "5:6 640\n"
    podman("rmi", "localhost/committed")


def test_build(podman: Podman) -> None:
    context = podman.host.directory / "context"
    context.mkdir()
    (context / "data").write_text("from the context\n")
    (context / "Containerfile").write_text(
        f"FROM {BUSYBOX}\n"
        "RUN echo one > /one && chown 7:8 /one && mkdir -p /d/e && ln -s /one /two\n"
        "COPY data /data\n"
        "ENV A=b\nWORKDIR /d\nUSER guest\n"
        'RUN echo "$A $(id -un) $(pwd)" > /tmp/three\n'
        'RUN ["cat", "/data"]\n'
        'CMD ["cat", "/two", "/data", "/tmp/three"]\n'
    )
    done = podman("build", "--network=none", "--no-cache", "-t", "localhost/built", context)
    assert "from the context\n" in done.stdout
    assert podman.run("localhost/built").stdout == "one\nfrom the context\nb guest /d\n"
    assert podman.run("localhost/built", "stat", "-c", "%u:%g", "/one").stdout == "7:8\n"
    podman("rmi", "localhost/built")


def test_a_build_whose_step_fails(podman: Podman) -> None:
    context = podman.host.directory / "failing"
    context.mkdir()
    (context / "Containerfile").write_text(f"FROM {BUSYBOX}\nRUN echo so far; exit 3\n")
    done = podman("build", "--network=none", "--no-cache", context, status=None)
    assert done.status == 3
    assert "so far" in done.stdout


def test_a_pod_of_two(podman: Podman) -> None:
    """They share the network; the second is made and started beside the running first."""
    pod = next(podman.names)
    podman("pod", "create", f"--name={pod}", "--network=none", "--hostname=shared")
    server, client = f"{pod}-a", f"{pod}-b"
    podman("run", "-d", f"--pod={pod}", f"--name={server}", BUSYBOX, "sh", "-c", "echo served | nc -l -p 80")
    script = "until nc 127.0.0.1 80; do sleep 0.02; done; hostname"
    assert podman("run", f"--pod={pod}", f"--name={client}", BUSYBOX, "sh", "-c", script).stdout == "served\nshared\n"
    assert podman("wait", server).stdout == "0\n"
    names = podman("ps", "-a", "--pod", "--format={{.Names}} {{.Status}}").stdout
    assert server in names
    podman("pod", "stop", "-t", "0", pod)
    assert podman("pod", "inspect", "--format={{.State}}", pod).stdout == "Exited\n"


def test_containers_side_by_side(podman: Podman) -> None:
    names = [podman.background(options=[f"--hostname=h{number}"]) for number in range(4)]
    for number, name in enumerate(names):
        assert podman("exec", name, "hostname").stdout == f"h{number}\n"
        assert podman("exec", name, "ps", "-o", "args").stdout.count("sleep") == 1


@pytest.mark.parametrize("policy", ["on-failure:2"])
def test_restart_policy(podman: Podman, policy: str) -> None:
    name = podman.background("sh", "-c", "echo again; exit 1", options=[f"--restart={policy}"])
    wait_until(lambda: podman("logs", name).stdout == "again\n" * 3, "it was started three times")
