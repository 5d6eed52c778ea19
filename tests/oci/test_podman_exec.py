"""`podman exec`: attached, detached, at a terminal; as many as there are, and none outlives its container."""

from __future__ import annotations

import signal
import subprocess

from tests.harness.engine_images import BUSYBOX
from tests.harness.patience import PATIENCE_S, wait_until
from tests.harness.podman import Podman
from tests.oci.at_terminal import at_terminal


def test_status_and_output(podman: Podman) -> None:
    name = podman.background()
    done = podman("exec", name, "sh", "-c", "echo out; echo err >&2; exit 7", status=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    podman("exec", name, "/no/such", status=127)
    podman("exec", name, "/etc/passwd", status=126)
    podman("exec", name, "sh", "-c", "kill -TERM $$", status=143)


def test_standard_input(podman: Podman) -> None:
    name = podman.background()
    text = "some line\n" * 20_000
    assert podman("exec", "-i", name, "cat", stdin=text.encode()).stdout == text


def test_it_joins_the_container(podman: Podman) -> None:
    name = podman.background(options=["--hostname=joined", "--env=FROM=run"])
    script = "hostname; cat /proc/1/cmdline | tr '\\0' ' '; echo; echo $FROM; echo x > /tmp/file; echo $$"
    lines = podman("exec", name, "sh", "-c", script).stdout.splitlines()
    assert lines[:3] == ["joined", "sleep 1000 ", "run"]
    assert int(lines[3]) > 1
    assert podman("exec", name, "cat", "/tmp/file").stdout == "x\n"


def test_options(podman: Podman) -> None:
    name = podman.background()
    done = podman("exec", "--user=guest", "-w", "/var", "--env=A=b", name, "sh", "-c", "id -un; id -G; pwd; echo $A")
    assert done.stdout == "guest\n1000 1001\n/var\nb\n"
    capabilities = podman("exec", "--user=guest", name, "grep", "CapEff", "/proc/self/status").stdout
    assert int(capabilities.split()[1], 16) == 0
    assert podman("exec", name, "grep", "CapEff", "/proc/self/status").stdout == (
        podman("exec", name, "grep", "CapEff", "/proc/1/status").stdout
    )
    missing = podman("exec", "--user=nobody-here", name, "id", status=None)
    assert missing.status != 0
    assert "unable to find user nobody-here" in missing.stderr


def test_terminal(podman: Podman) -> None:
    name = podman.background()
    with at_terminal(podman, "exec", "-it", name, "sh", rows=33, columns=99) as terminal:
        terminal.expect("# ")
        terminal.send("stty size; tty; [ -t 0 ] && [ -t 2 ] && echo both\n")
        terminal.expect("33 99\n")
        terminal.expect("/dev/(pts/[0-9]+|console)\n")
        terminal.expect("both\n")
        terminal.resize(40, 120)
        terminal.interrupt_cat()
        terminal.expect("# ")
        terminal.send("stty size\n")
        terminal.expect("40 120\n")
        terminal.send("exit 5\n")
        assert terminal.finish() == 5


def test_run_at_a_terminal(podman: Podman) -> None:
    with at_terminal(podman, "run", "--rm", "-it", "--network=none", BUSYBOX, "sh", rows=31, columns=91) as terminal:
        terminal.expect("# ")
        terminal.send("stty size; echo $$; tty\n")
        terminal.expect("31 91\n1\n/dev/(pts/0|console)\n")
        terminal.interrupt_cat("trap 'echo interrupted' INT; ")
        terminal.expect("interrupted")
        terminal.send("exit 6\n")
        assert terminal.finish() == 6


def test_detached(podman: Podman) -> None:
    name = podman.background()
    podman("exec", "-d", name, "sh", "-c", "echo started > /tmp/there; exec sleep 1000")
    wait_until(lambda: podman("exec", name, "cat", "/tmp/there", status=None).stdout == "started\n", "it started")
    shown = podman("exec", name, "ps", "-o", "args").stdout.splitlines()
    assert shown.count("sleep 1000") == 2


def test_many_at_once(podman: Podman) -> None:
    name = podman.background()
    running = [
        podman.start("exec", name, "sh", "-c", f"echo {n}; exit {n}", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        for n in range(12)
    ]
    for number, process in enumerate(running):
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert (output, process.returncode) == (f"{number}\n".encode(), number)


def test_it_ends_with_its_container(podman: Podman) -> None:
    name = podman.background()
    process = podman.start("exec", name, "sh", "-c", "echo ready; exec sleep 1000", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    podman("kill", name)
    assert process.wait(30) == 128 + signal.SIGKILL
    process.stdout.close()


def test_preserved_descriptors(podman: Podman) -> None:
    name = podman.background()
    script = 'exec 3>"$0/kept"; shift; exec podman --events-backend=file exec --preserve-fds=1 "$@"'
    podman.host.run(
        ["sh", "-c", script, podman.host.directory, "-", name, "sh", "-c", "echo by three >&3"],
        env=podman.environment,
    )
    assert (podman.host.directory / "kept").read_text() == "by three\n"


def test_in_a_container_that_does_not_run(podman: Podman) -> None:
    name = podman.background("true")
    podman("wait", name)
    refused = podman("exec", name, "true", status=None)
    assert refused.status != 0
    assert "can only create exec sessions on running containers" in refused.stderr


def test_in_a_paused_container(podman: Podman) -> None:
    name = podman.background()
    podman("pause", name)
    assert podman("exec", name, "true", status=None).status != 0
    podman("unpause", name)
    podman("exec", name, "true")
