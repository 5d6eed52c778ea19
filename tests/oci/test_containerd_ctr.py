"""containerd by `ctr`: the stock shim's life of a task, without the CRI."""

from __future__ import annotations

import json
import subprocess

from tests.harness.containerd import Containerd
from tests.harness.engine_host import end
from tests.harness.patience import PATIENCE_S, wait_until
from tests.oci.at_terminal import at_terminal


def test_status_and_output(containerd: Containerd) -> None:
    done = containerd.run("sh", "-c", "echo out; echo err >&2; exit 7", status=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_standard_input(containerd: Containerd) -> None:
    text = "some line\n" * 10_000
    name = next(containerd.names)
    words = [*containerd.run_words(name, "--rm"), "sh", "-c", f"head -c {len(text)} | md5sum"]
    assert containerd(*words, stdin=text.encode()).stdout == (
        containerd.host.run(["md5sum"], stdin=text.encode()).stdout
    )


def test_a_program_that_is_not_there(containerd: Containerd) -> None:
    refused = containerd.run("/no/such", status=None)
    assert refused.status != 0
    assert "no such file or directory" in refused.stderr


def test_options(containerd: Containerd) -> None:
    options = ("--env=A=b", "--cwd=/var", "--read-only", "--tty=false")
    done = containerd.run("sh", "-c", "echo $A; pwd; touch /tmp/x || echo read-only", options=options)
    assert done.stdout == "b\n/var\nread-only\n"


def test_bind_mount(containerd: Containerd) -> None:
    shared = containerd.host.directory / "ctr-shared"
    shared.mkdir()
    mount = f"--mount=type=bind,src={shared},dst=/v,options=rbind:rw"
    containerd.run("sh", "-c", "echo inside > /v/file", options=(mount,))
    assert (shared / "file").read_text() == "inside\n"


def test_exec(containerd: Containerd) -> None:
    name = containerd.background()
    done = containerd("task", "exec", "--exec-id=e1", name, "sh", "-c", "echo out; echo err >&2; exit 5", status=5)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    containerd("task", "exec", "--exec-id=e2", name, "sh", "-c", "echo kept > /tmp/kept")
    assert containerd("task", "exec", "--exec-id=e3", name, "cat", "/tmp/kept").stdout == "kept\n"
    assert containerd("task", "exec", "--exec-id=e4", "--cwd=/etc", name, "pwd").stdout == "/etc\n"


def test_many_execs_at_once(containerd: Containerd) -> None:
    name = containerd.background()
    running = [
        containerd.start(
            *("task", "exec", f"--exec-id=m{n}", name, "sh", "-c", f"echo {n}; exit {n}"),
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        for n in range(8)
    ]
    for number, process in enumerate(running):
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert (output, process.returncode) == (f"{number}\n".encode(), number)


def test_terminal(containerd: Containerd) -> None:
    words = [str(word) for word in containerd.run_words(next(containerd.names), "--rm", "-t")]
    with at_terminal(containerd, *words, "sh", rows=33, columns=99) as terminal:
        terminal.expect("# ")
        terminal.send("stty size; tty\n")
        terminal.expect("33 99\n/dev/(pts/0|console)\n")
        terminal.interrupt_cat()
        terminal.expect("# ")
        terminal.resize(44, 111)
        terminal.send("until [ \"$(stty size)\" = '44 111' ]; do :; done; exit 6\n")
        assert terminal.finish() == 6


def test_exec_at_a_terminal(containerd: Containerd) -> None:
    name = containerd.background()
    with at_terminal(containerd, "task", "exec", "-t", "--exec-id=t", name, "sh", rows=20, columns=70) as terminal:
        terminal.expect("# ")
        terminal.send("stty size; exit 4\n")
        terminal.expect("20 70\n")
        assert terminal.finish() == 4


def test_kill(containerd: Containerd) -> None:
    name = containerd.background("sh", "-c", "trap 'exit 9' USR1; while :; do sleep 0.02; done")
    assert containerd.status(name) == "RUNNING"
    wait_until(lambda: containerd("task", "kill", "-s", "USR1", name, status=None) and True, "the signal is sent")
    wait_until(lambda: containerd.status(name) == "STOPPED", "it ended")
    assert containerd("task", "rm", name, status=None).status in (0, 9)


def test_kill_of_all(containerd: Containerd) -> None:
    name = containerd.background("sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000 & wait")
    wait_until(lambda: len(pids(containerd, name)) == 3, "its children run")
    containerd("task", "kill", "-a", "-s", "KILL", name)
    wait_until(lambda: containerd.status(name) == "STOPPED", "it ended")


def pids(containerd: Containerd, name: str) -> list[str]:
    shown = containerd("task", "exec", "--exec-id=ps", name, "ps", "-o", "pid,args").stdout
    return [line for line in shown.splitlines()[1:] if "ps -o" not in line]


def test_pause(containerd: Containerd) -> None:
    name = containerd.background("sh", "-c", "while :; do sleep 0.02; done")
    containerd("task", "pause", name)
    assert containerd.status(name) == "PAUSED"
    containerd("task", "resume", name)
    assert containerd.status(name) == "RUNNING"
    containerd("task", "exec", "--exec-id=e", name, "true")


def test_processes(containerd: Containerd) -> None:
    """`task ps` is the runtime's `ps --format json`."""
    name = containerd.background("sh", "-c", "sleep 1000 & wait")
    shown = containerd("task", "ps", name).stdout.splitlines()[1:]
    assert {int(line.split()[0]) for line in shown} <= containerd.host.processes()
    init = [line.split()[1] for line in containerd("task", "ls").stdout.splitlines() if line.split()[0] == name]
    assert init[0] in {line.split()[0] for line in shown}


def test_metrics(containerd: Containerd) -> None:
    fill = "x=$(dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\\0' x); echo > /tmp/full; while :; do sleep 1000; done"
    name = containerd.background("sh", "-c", fill, options=(f"--memory-limit={256 << 20}",))
    exists = ("task", "exec", "--exec-id=f", name, "test", "-e", "/tmp/full")
    wait_until(lambda: containerd(*exists, status=None).status == 0, "it has filled its memory")
    metrics = json.loads(containerd("task", "metrics", "--format=json", name).stdout)
    memory = metrics["memory"]["usage"]
    assert memory["limit"] == 256 << 20
    assert 8 << 20 <= memory["usage"] < 256 << 20
    assert metrics["pids"]["current"] >= 2
    assert metrics["cpu"]["usage"]["total"] > 0


def test_out_of_memory(containerd: Containerd) -> None:
    """The cgroup's event reaches containerd as /tasks/oom; the task ends as killed."""
    events = containerd.start("events", stdout=subprocess.PIPE)
    name = next(containerd.names)
    containerd(
        *containerd.run_words(name, "--rm", f"--memory-limit={64 << 20}"), "sh", "-c", "sleep 0.2; tail /dev/zero",
        status=137,
    )  # fmt: skip
    assert events.stdout is not None
    seen = b""
    while b"/tasks/delete" not in seen or name.encode() not in seen.rsplit(b"/tasks/delete", 1)[1]:
        seen += events.stdout.readline()
    events.stdout.close()
    end(events)
    assert b"/tasks/oom" in seen


def test_restart_of_the_daemon(containerd: Containerd) -> None:
    name = containerd.background("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.02; done")
    containerd.restart()
    assert containerd.status(name) == "RUNNING"
    assert containerd("task", "exec", "--exec-id=after", name, "echo", "here").stdout == "here\n"
    containerd("task", "kill", name)
    wait_until(lambda: containerd.status(name) == "STOPPED", "it ended")


def test_the_same_name_again(containerd: Containerd) -> None:
    name = containerd.background()
    refused = containerd(*containerd.run_words(name, "-d"), "true", status=1)
    assert "already exists" in refused.stderr
    assert containerd.status(name) == "RUNNING"
