"""What cannot be run, options that make no sense, and runs that go wrong: one clear line, the right status, no trace.

125 is pysentry's own failure, 126 a command that cannot be executed, 127 one that is not there, 124 the end by
--timeout. What a run leaves behind (processes, files) is looked at after each by the runner.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import leftovers
from tests.harness.configuration import COMMAND
from tests.harness.patience import wait_until
from tests.harness.runner import Result, Runner
from tests.harness.time_limit import run_to_time_limit

pytestmark = pytest.mark.configs(*COMMAND)
BOTH_ENGINES = pytest.mark.configs("seccomp", "ptrace", "user")


def one_line(result: Result, *words: str) -> None:
    """stderr is one line of pysentry's that holds the words; nothing came on stdout."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result
    assert lines[0].startswith("pysentry: "), result
    for word in words:
        assert word in lines[0], result
    assert result.stdout == "", result


def fails(
    runner: Runner, status: int, *words: str, argv: tuple[str, ...] = ("true",), options: tuple[str, ...] = ()
) -> None:
    result = runner.run(argv, options=options, has_report=False)
    assert result.status == status, result
    one_line(result, *words)


def executable(runner: Runner, name: str, content: bytes, mode: int = 0o755) -> str:
    path = runner.work / name
    path.write_bytes(content)
    path.chmod(mode)
    return f"./{name}"


# --- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["no-such-command", "./no-such-file", "/no/such/path", "missing/file"])
def test_missing_command(runner: Runner, name: str) -> None:
    fails(runner, 127, name, argv=(name,))


def test_empty_command(runner: Runner) -> None:
    fails(runner, 127, "empty", argv=("",))


def test_directory(runner: Runner) -> None:
    fails(runner, 126, "/tmp", argv=("/tmp",))


def test_not_executable(runner: Runner) -> None:
    fails(runner, 126, "./plain", "ermission denied", argv=(executable(runner, "plain", b"#!/bin/sh\n", 0o644),))


def test_path_through_a_file(runner: Runner) -> None:
    fails(runner, 127, "/etc/passwd/x", argv=("/etc/passwd/x",))


def test_elf_of_another_architecture(runner: Runner) -> None:
    elf = bytearray(Path("/bin/true").read_bytes())
    elf[18] = 0xB7  # EM_AARCH64
    fails(runner, 126, "./arm", argv=(executable(runner, "arm", bytes(elf)),))


@pytest.mark.parametrize("size", [4, 63, 64, 200])
def test_truncated_elf(runner: Runner, size: int) -> None:
    fails(runner, 126, "./short", argv=(executable(runner, "short", Path("/bin/true").read_bytes()[:size]),))


def test_text_without_an_interpreter_line(runner: Runner) -> None:
    fails(runner, 126, "./text", argv=(executable(runner, "text", b"echo hello\n"),))


def test_interpreter_loop(runner: Runner) -> None:
    name = executable(runner, "loop", f"#!{runner.work}/loop\n".encode())
    fails(runner, 126, name, "#!", argv=(name,))


def test_missing_interpreter(runner: Runner) -> None:
    name = executable(runner, "script", b"#!/no/such/interpreter\n")
    fails(runner, 126, name, "interpreter", argv=(name,))


def test_arguments_over_the_limit(runner: Runner, native: Runner) -> None:
    # The host's limit stands before ours for what pysentry itself is given, so a shell inside hits it.
    script = "exec /bin/true $(yes 0123456789 | head -n 300000)"
    results = [runner.run(["bash", "-c", script]), native.run(["bash", "-c", script])]
    for result in results:
        assert result.status == 126, result
        assert "Argument list too long" in result.stderr, result


def test_no_command(runner: Runner) -> None:
    fails(runner, 125, "no command", argv=())


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--rootfs=/no/such/dir", "/no/such/dir"),
        ("--rootfs=/etc/passwd", "/etc/passwd"),
        ("--bind=/no/such/file:/mnt", "/no/such/file"),
        ("--bind=/tmp", "--bind"),
        ("--bind=/tmp:relative", "--bind"),
        ("--bind=/tmp:/mnt:maybe", "maybe"),
        ("--tmpfs=relative", "--tmpfs"),
        ("--cwd=/no/such/dir", "/no/such/dir"),
        ("--cwd=relative", "--cwd"),
        ("--env=NOVALUE", "--env"),
        ("--hostname=a b", "--hostname"),
        ("--user=no-such-user", "no-such-user"),
        ("--user=-5", "--user"),
        ("--timeout=soon", "--timeout"),
        ("--timeout=-1", "--timeout"),
        ("--pids=many", "--pids"),
        ("--pids=0", "--pids"),
        ("--net=everything", "--net"),
        ("--platform=kvm", "--platform"),
        ("--fast-path=perhaps", "--fast-path"),
        ("--trace=/no/such/dir/trace", "/no/such/dir/trace"),
        ("--stats=/no/such/dir/stats", "/no/such/dir/stats"),
        ("--no-such-option", "--no-such-option"),
    ],
)
def test_bad_option(runner: Runner, option: str, word: str) -> None:
    fails(runner, 125, word, options=(option,))


def test_unreadable_rootfs(runner: Runner) -> None:
    closed = runner.directory / "closed"
    closed.mkdir(0)
    if os.access(closed, os.R_OK) and not runner.configuration.unprivileged:
        pytest.skip("root reads any directory")
    fails(runner, 125, str(closed), options=(f"--rootfs={closed}",))


def test_command_missing_in_the_rootfs(runner: Runner) -> None:
    fails(runner, 127, "/bin/true", argv=("/bin/true",), options=(f"--rootfs={runner.directory / 'tmp'}",))


# --- what the host does not give ------------------------------------------------------------------------------------


def deny_namespaces() -> None:
    """A seccomp filter as a container engine has it: unshare and clone with CLONE_NEWUSER give EPERM."""
    import pyseccomp

    filter_ = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    filter_.add_rule(pyseccomp.ERRNO(1), "unshare")
    for namespace in (0x10000000, 0x20000000, 0x00020000):  # CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNS
        filter_.add_rule(pyseccomp.ERRNO(1), "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, namespace, namespace))
    filter_.add_rule(pyseccomp.ERRNO(38), "clone3")
    filter_.load()


def test_no_permission_for_namespaces(runner: Runner) -> None:
    import pyseccomp  # noqa: F401 - before the fork

    result = runner.run(["true"], preexec_fn=deny_namespaces, has_report=False)
    assert result.status == 125, result
    one_line(result, "namespace")


def test_too_few_open_files(runner: Runner) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500))

    result = runner.run(["true"], preexec_fn=limit, has_report=False)
    assert result.status == 125
    one_line(result, "the hard limit of open files is 500", "at least 1024")


# --- runs that go wrong ---------------------------------------------------------------------------------------------


@pytest.fixture
def sleeping(runner: Runner) -> Iterator[subprocess.Popen[bytes]]:
    """A run whose program says that it runs, and then waits for ever."""
    process = runner.start(["sh", "-c", "echo running; exec sleep 1000"])
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


def processes_below(pid: int) -> dict[int, str]:
    """All descendants by host pid, with the path of their executable."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found: dict[int, str] = {}
    todo = [pid]
    while todo:
        for child in [child for child, parent in parents.items() if parent == todo[0]]:
            try:
                found[child] = os.readlink(f"/proc/{child}/exe")
            except OSError:
                found[child] = "?"
            todo.append(child)
        todo.pop(0)
    return found


@BOTH_ENGINES
def test_gofer_is_killed(runner: Runner, sleeping: subprocess.Popen[bytes]) -> None:
    gofers = [pid for pid, exe in processes_below(sleeping.pid).items() if "python" in exe]
    assert len(gofers) == 1, processes_below(sleeping.pid)
    os.kill(gofers[0], signal.SIGKILL)
    result = runner.finish(sleeping, has_report=False)
    assert result.status == 125, result
    one_line(result, "gofer")


@BOTH_ENGINES
def test_sentry_is_killed(runner: Runner, sleeping: subprocess.Popen[bytes]) -> None:
    below = processes_below(sleeping.pid)
    assert len(below) >= 2, below  # the gofer and the workload
    sleeping.kill()
    assert runner.finish(sleeping, has_report=False).status == 137
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), "the end of the gofer and the workload")


@BOTH_ENGINES
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_signals_are_passed_on(runner: Runner, sleeping: subprocess.Popen[bytes], name: str) -> None:
    number = getattr(signal, name)
    sleeping.send_signal(number)
    result = runner.finish(sleeping)
    assert result.status == 128 + number, result


def test_signals_reach_a_handler(runner: Runner) -> None:
    script = "trap 'echo got; exit 9' TERM; echo running; while :; do sleep 0.01; done"
    process = runner.start(["bash", "-c", script])
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    process.terminate()
    result = runner.finish(process)
    assert (result.status, result.stdout) == (9, "got\n"), result


@BOTH_ENGINES
def test_workload_that_forks_without_end(runner: Runner) -> None:
    script = "bomb() { bomb | bomb & }; bomb; while :; do sleep 0.1; done"
    run_to_time_limit(runner, ["bash", "-c", script], lambda result: "fork" in result.stderr, ["--pids=60"])


def test_limit_of_processes_is_eagain(runner: Runner) -> None:
    script = """
import os, signal
children = []
try:
    while True:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        children.append(pid)
except BlockingIOError:
    print("EAGAIN", 15 < len(children) < 20)
"""
    result = runner.run(["/usr/bin/python3", "-c", script], options=["--pids=20"])
    assert (result.status, result.stdout) == (0, "EAGAIN True\n"), result


def test_workload_that_fills_its_memory(runner: Runner) -> None:
    script = "ulimit -v 500000; exec /usr/bin/python3 -c 'x = bytearray(10**9)'"
    result = runner.run(["bash", "-c", script])
    assert result.status == 1, result
    assert "MemoryError" in result.stderr, result


@BOTH_ENGINES
def test_workload_that_blocks_every_signal(runner: Runner) -> None:
    script = (
        "import signal, time\n"
        "signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())\n"
        "print('blocked', flush=True)\nwhile True: time.sleep(100)\n"
    )
    run_to_time_limit(runner, ["/usr/bin/python3", "-c", script], lambda result: result.stdout == "blocked\n")


def test_timeout_ends_the_whole_tree(runner: Runner) -> None:
    script = "trap '' TERM INT HUP; (setsid sleep 1000 &); sleep 1000 | sleep 1000"
    result = runner.run(["bash", "-c", script], options=["--timeout=1s"])
    assert result.status == 124, result


def test_children_do_not_outlive_the_first_process(runner: Runner) -> None:
    result = runner.run(["bash", "-c", "setsid sleep 1000 & (sleep 1000 &) ; echo done"])
    assert (result.status, result.stdout) == (0, "done\n"), result


def test_output_that_nobody_reads(runner: Runner) -> None:
    process = runner.start(["yes"])
    assert process.stdout is not None
    process.stdout.read(100)
    process.stdout.close()
    process.stdout = None
    result = runner.finish(process)
    assert result.status == 128 + signal.SIGPIPE, result


def test_closed_standard_descriptors(runner: Runner) -> None:
    def close_input() -> None:
        os.close(0)

    result = runner.run(["sh", "-c", "echo fine"], preexec_fn=close_input)
    assert (result.status, result.stdout) == (0, "fine\n"), result


def test_our_own_orphans_can_be_seen() -> None:
    """The check for leftovers finds what it is for."""
    leftovers.become_subreaper()
    subprocess.run(["sh", "-c", "sleep 1000 & exit 0"], check=True)
    left = leftovers.end_orphans((), grace_s=0.1)
    assert len(left) == 1
    assert "sleep" in left[0]


def test_orphans_are_seen_whoever_had_their_pid() -> None:
    """Of a child that was meant to last and has ended: its number means nothing any more."""
    process = subprocess.Popen(["true"])
    leftovers.LASTING.add(process)
    leftovers.end_orphans((), grace_s=60)
    assert process.pid not in leftovers.children()
    process.wait()
    other = subprocess.Popen(["sleep", "1000"])
    process.pid = other.pid
    assert other.pid in leftovers.children()
    leftovers.LASTING.remove(process)
    other.kill()
    other.wait()
