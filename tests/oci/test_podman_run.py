"""`podman run` and its options: what the engine asks of the runtime at create and start."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.harness.engine_images import BUSYBOX
from tests.harness.patience import PATIENCE_S, wait_until
from tests.harness.podman import Podman


def test_status_and_output(podman: Podman) -> None:
    done = podman.run(BUSYBOX, "sh", "-c", "echo out; echo err >&2; exit 7", status=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_status_of_a_program_killed_by_a_signal(podman: Podman) -> None:
    # Process 1 is not killed by its own signals, so a child is.
    podman.run(BUSYBOX, "sh", "-c", "sh -c 'kill -KILL $$'; exit $?", status=137)


@pytest.mark.parametrize(("program", "status"), [("/nothing/here", 127), ("nosuchprogram", 127), ("/etc/passwd", 126)])
def test_status_of_a_program_that_cannot_run(podman: Podman, program: str, status: int) -> None:
    podman.run(BUSYBOX, program, status=status)


def test_standard_input(podman: Podman) -> None:
    text = "line\n" * 20_000
    assert podman.run("-i", BUSYBOX, "cat", stdin=text.encode()).stdout == text
    assert podman.run(BUSYBOX, "cat").stdout == ""


def test_environment(podman: Podman) -> None:
    shown = podman.run("--env=A=b c", "--env=FROM_IMAGE=no", BUSYBOX, "env").stdout.splitlines()
    assert {"A=b c", "FROM_IMAGE=no", "PATH=/bin", "HOME=/root"} <= set(shown)


def test_working_directory(podman: Podman) -> None:
    assert podman.run("-w", "/var", BUSYBOX, "pwd").stdout == "/var\n"
    podman.run("-w", "/not/there", BUSYBOX, "pwd", status=126)


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("guest", "uid=1000(guest) gid=1000(guest) groups=1000(guest),1001(extra)"),
        ("77:88", "uid=77(77) gid=88(88) groups=88(88)"),
        ("0", "uid=0(root) gid=0(root)"),
    ],
)
def test_user(podman: Podman, user: str, shown: str) -> None:
    assert podman.run(f"--user={user}", BUSYBOX, "id").stdout.startswith(shown)


def test_more_groups(podman: Podman) -> None:
    assert podman.run("--user=5:6", "--group-add=7", BUSYBOX, "id", "-G").stdout.split() == ["6", "7"]


def capabilities(podman: Podman, *options: str) -> dict[str, int]:
    status = podman.run(*options, BUSYBOX, "cat", "/proc/self/status").stdout
    return {line[:6]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}


def test_capabilities(podman: Podman) -> None:
    chown, kill = 1 << 0, 1 << 5
    default = capabilities(podman)
    assert default["CapEff"] & chown
    assert default["CapBnd"] == default["CapEff"] == default["CapPrm"]
    assert capabilities(podman, "--cap-drop=all") == {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0}
    assert capabilities(podman, "--cap-drop=all", "--cap-add=KILL")["CapEff"] == kill
    assert not capabilities(podman, "--cap-drop=CHOWN")["CapEff"] & chown
    assert capabilities(podman, "--user=guest")["CapEff"] == 0


def test_a_dropped_capability_is_not_there(podman: Podman) -> None:
    refused = podman.run("--cap-drop=CHOWN", BUSYBOX, "chown", "1000", "/tmp", status=1)
    assert "Operation not permitted" in refused.stderr
    podman.run(BUSYBOX, "chown", "1000", "/tmp")


def test_read_only_root(podman: Podman) -> None:
    script = "touch /etc/x && echo wrote; touch /tmp/x && echo tmp; touch /run/x && echo run"
    done = podman.run("--read-only", BUSYBOX, "sh", "-c", script)
    assert done.stdout == "tmp\nrun\n"
    assert "Read-only file system" in done.stderr


def test_the_root_is_writable_and_its_own(podman: Podman) -> None:
    name = podman.background("sh", "-c", "echo changed > /etc/release; rm /etc/group; mkdir /etc/d; exec sleep 1000")
    wait_until(lambda: "A /etc/d" in podman("diff", name).stdout, "the directory is there")
    shown = podman("diff", name).stdout
    assert {"C /etc", "C /etc/release", "D /etc/group", "A /etc/d"} <= set(shown.splitlines())
    assert podman.run(BUSYBOX, "cat", "/etc/release").stdout == "busybox root of the tests\n"


def test_tmpfs(podman: Podman) -> None:
    script = (
        "grep ' /scratch ' /proc/mounts; cd /scratch; echo x > y; stat -c %a .; dd if=/dev/zero of=big bs=1M count=3"
    )
    done = podman.run("--tmpfs=/scratch:rw,size=1m,mode=1770", BUSYBOX, "sh", "-c", script, status=1)
    kind, target, system, options = done.stdout.splitlines()[0].split()[:4]
    assert (target, system) == ("/scratch", "tmpfs"), kind
    assert {"rw", "nosuid", "nodev"} <= set(options.split(","))
    assert done.stdout.splitlines()[1] == "1770"
    assert "No space left" in done.stderr


def test_volumes(podman: Podman) -> None:
    shared = podman.host.directory / "shared"
    shared.mkdir()
    (shared / "given").write_text("from the host\n")
    script = "cat /v/given; echo from inside > /v/made; echo again > /r/no"
    done = podman.run(f"-v={shared}:/v", f"-v={shared}:/r:ro", BUSYBOX, "sh", "-c", script, status=1)
    assert done.stdout == "from the host\n"
    assert "Read-only file system" in done.stderr
    assert (shared / "made").read_text() == "from inside\n"
    assert (shared / "made").stat().st_uid == 0
    assert not (shared / "no").exists()


def test_a_file_as_a_volume(podman: Podman) -> None:
    file = podman.host.directory / "one-file"
    file.write_text("old\n")
    podman.run(f"-v={file}:/etc/one", BUSYBOX, "sh", "-c", "cat /etc/one; echo new > /etc/one")
    assert file.read_text() == "new\n"


def test_files_belong_to_the_user_inside(podman: Podman) -> None:
    shared = podman.host.directory / "owned"
    shared.mkdir()
    shared.chmod(0o777)
    podman.run("--user=1000:1000", f"-v={shared}:/v", BUSYBOX, "touch", "/v/mine")
    assert ((shared / "mine").stat().st_uid, (shared / "mine").stat().st_gid) == (1000, 1000)


def test_a_named_volume_outlives_its_container(podman: Podman) -> None:
    podman("volume", "create", "kept")
    podman.run("-v=kept:/data", BUSYBOX, "sh", "-c", "echo here > /data/file")
    assert podman.run("-v=kept:/data", BUSYBOX, "cat", "/data/file").stdout == "here\n"
    podman("volume", "rm", "kept")


def test_init(podman: Podman) -> None:
    """catatonit is process 1 and hands on the program's status."""
    done = podman.run("--init", BUSYBOX, "sh", "-c", "cat /proc/1/comm; exit 9", status=9)
    assert done.stdout == "podman-init\n"


def test_memory_limit_is_seen_and_kept(podman: Podman) -> None:
    assert podman.run("--memory=128m", BUSYBOX, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes").stdout == (
        f"{128 << 20}\n"
    )
    name = podman.background(
        "sh", "-c", "sleep 0.1; exec tail /dev/zero", options=["--memory=64m", "--memory-swap=64m"]
    )
    assert podman("wait", name).stdout == "137\n"


def test_limit_of_processes(podman: Podman) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; echo all"
    done = podman.run("--pids-limit=8", BUSYBOX, "sh", "-c", script, status=None)
    assert "all" not in done.stdout
    assert "fork" in done.stderr


def test_limits_of_resources(podman: Podman) -> None:
    shown = podman.run(
        "--ulimit=nofile=100:200", "--ulimit=nproc=500:500", BUSYBOX, "sh", "-c", "ulimit -Sn; ulimit -Hn"
    ).stdout
    assert shown == "100\n200\n"


def test_hostname(podman: Podman) -> None:
    shown = podman.run("--hostname=box", BUSYBOX, "sh", "-c", "hostname; echo $HOSTNAME $(cat /etc/hostname)").stdout
    assert shown == "box\nbox box\n"


def test_no_network(podman: Podman) -> None:
    done = podman.run(BUSYBOX, "sh", "-c", "cat /proc/net/dev; nc -w 2 192.0.2.1 80", status=1)
    interfaces = [line.split(":")[0].strip() for line in done.stdout.splitlines()[2:]]
    assert interfaces == ["lo"]
    assert "unreachable" in done.stderr


def test_a_server_on_the_host_network(podman: Podman) -> None:
    script = "echo from the container | nc -l -p 8001"
    name = podman.background("sh", "-c", script, network="host")
    connection = podman.host.socket()
    wait_until(lambda: connection.connect_ex(("127.0.0.1", 8001)) in (0, 106), "it listens")
    with connection:
        assert connection.makefile("rb").read() == b"from the container\n"
    assert podman("wait", name).stdout == "0\n"


def test_two_containers_on_a_bridge(podman: Podman) -> None:
    server = podman.background("sh", "-c", "while :; do echo hello | nc -l -p 80; done", network="bridge")
    address = podman.inspect(server, ".NetworkSettings.IPAddress")
    script = f"until nc {address} 80; do :; done; cat /proc/net/route | wc -l"
    done = podman.run(BUSYBOX, "sh", "-c", script, network="bridge")
    assert "hello\n" in done.stdout
    connection = podman.host.socket()
    with connection:
        connection.settimeout(PATIENCE_S)
        wait_until(lambda: connection.connect_ex((address, 80)) in (0, 106), "the host reaches it")
        assert connection.makefile("rb").read() == b"hello\n"


def test_preserved_descriptors(podman: Podman) -> None:
    reader, writer = os.pipe()
    saved = os.dup(3) if os.path.exists("/proc/self/fd/3") else None
    inheritable = os.dup(writer)

    def place() -> None:
        os.dup2(inheritable, 3)

    try:
        done = podman.run(
            "--preserve-fds=1", BUSYBOX, "sh", "-c", "echo by three >&3", preexec_fn=place, pass_fds=(3, inheritable)
        )
    finally:
        os.close(writer)
        os.close(inheritable)
        if saved is not None:
            os.close(saved)
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == b"by three\n", done


def test_without_cgroups(podman: Podman) -> None:
    if podman.name == "runc":
        pytest.skip("runc knows no --cgroups=disabled")
    before = podman.host.container_cgroups()
    assert podman.run("--cgroups=disabled", BUSYBOX, "echo", "no cgroup").stdout == "no cgroup\n"
    assert podman.host.container_cgroups() == before


def test_signals_are_handed_on(podman: Podman) -> None:
    """`podman run` proxies what it gets; the program's answer is the status."""
    script = "trap 'echo got it; exit 3' USR1; echo ready; while :; do sleep 0.05; done"
    process = podman.start("run", "--rm", "--network=none", BUSYBOX, "sh", "-c", script, stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    # Before it has noted that the container runs, podman gives up handing signals on.
    wait_until(lambda: podman("ps", "--quiet").stdout.strip(), "podman knows that it runs")
    os.kill(_grandchild(process.pid), signal.SIGUSR1)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert (output, process.returncode) == (b"got it\n", 3), errors


def _grandchild(pid: int) -> int:
    """nsenter forks to enter the pid namespace: the child is podman."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return int(wait_until(lambda: children.read_text().split(), "podman runs")[0])
