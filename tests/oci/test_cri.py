"""The CRI of containerd and, where there is one, of CRI-O: pods and their containers as a kubelet makes them."""

from __future__ import annotations

import re

import pytest

from tests.harness.containerd import Containerd
from tests.harness.cri import STDERR, Cri, messages
from tests.harness.crio import Crio
from tests.harness.engine_images import NO_COMMAND
from tests.harness.patience import wait_until

FILL = "x=$(dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\\0' x); echo full; while :; do sleep 1000; done"
WAITS_FOR_TERM = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done"
TICKS = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"


def test_output_status_and_log(cri: Cri) -> None:
    # It lives until its start has been noted: that is done by another process than the one that notes its end.
    container = cri.pod().run("sh", "-c", "echo out; echo err >&2; sleep 1; exit 7")
    assert container.wait() == 7
    wait_until(lambda: len(container.lines()) == 2, "both lines are in the log")
    assert (container.lines("stdout"), container.lines("stderr")) == (["out"], ["err"])
    status = container.status
    assert status.reason == "Error"
    assert 0 < status.started_at <= status.finished_at


def test_created_then_started(cri: Cri) -> None:
    container = cri.pod().create("sleep", "1000")
    assert container.status.state == messages().CREATED
    container.start()
    assert container.status.state == messages().RUNNING
    with pytest.raises(cri.error):
        container.start()
    container.stop()
    assert container.status.exit_code == 137
    container.remove()


def test_two_containers_in_a_pod(cri: Cri) -> None:
    """They share network, hostname and (System V) ipc; each has its own root."""
    pod = cri.pod()
    server = pod.run("sh", "-c", "echo served | nc -l -p 80; sleep 1000", name="server")
    client = pod.run("sh", "-c", "until nc 127.0.0.1 80; do sleep 0.02; done; hostname; cat /tmp/x", name="client")
    assert client.wait() == 1
    assert client.lines("stdout") == ["served", pod.name]
    assert server.exec("sh", "-c", "echo > /tmp/x; hostname") == (0, pod.name + "\n", "")
    assert server.status.state == messages().RUNNING


def test_a_container_after_another_has_ended(cri: Cri) -> None:
    pod = cri.pod()
    for number in range(3):
        container = pod.run("sh", "-c", f"echo {number}", name=f"n{number}")
        assert container.wait() == 0
        container.remove()
    assert pod.run().status.state == messages().RUNNING


def test_pods_reach_each_other(cri: Cri) -> None:
    first, second = cri.pod(), cri.pod()
    first.run("sh", "-c", "while :; do echo hello from $(hostname) | nc -l -p 80; done")
    assert first.address != second.address
    client = second.run("sh", "-c", f"until nc {first.address} 80; do sleep 0.02; done")
    assert client.wait() == 0
    assert client.lines() == [f"hello from {first.name}"]


def test_host_network(cri: Cri) -> None:
    container = cri.pod(on_host_network=True).run("sh", "-c", "grep -c pods0 /proc/net/dev; echo there | nc -l -p 8002")
    connection = cri.host.socket()
    with connection:
        wait_until(lambda: connection.connect_ex(("127.0.0.1", 8002)) in (0, 106), "it listens")
        assert connection.makefile("rb").read() == b"there\n"
    assert container.wait() == 0


def test_exec_sync(cri: Cri) -> None:
    container = cri.pod().run()
    assert container.exec("sh", "-c", "echo out; echo err >&2; exit 5") == (5, "out\n", "err\n")
    assert container.exec("cat", "/proc/1/cmdline") == (0, "sleep\x001000\x00", "")
    with pytest.raises(cri.error, match="no such file"):
        container.exec("/no/such")


def test_exec_sync_with_time_limit(cri: Cri) -> None:
    container = cri.pod().run()
    try:
        told = container.exec("sleep", "2000", timeout_s=1)[2]
    except cri.error as error:  # not from CRI-O: there it is an answer, with a status of -1
        told = str(error)
    assert re.search("timed out|timeout|deadline", told)
    wait_until(lambda: "sleep 2000" not in container.exec("ps", "-o", "args")[1], "what took too long is gone")


def test_exec_sync_in_a_container_that_has_ended(cri: Cri) -> None:
    container = cri.pod().run("true")
    container.wait()
    with pytest.raises(cri.error, match=r"not running|CONTAINER_EXITED|not created or running"):
        container.exec("true")


def test_exec_streamed(cri: Cri) -> None:
    streams = cri.pod().run().stream_exec("sh", "-c", "read line; echo got $line; echo err >&2; exit 3")
    streams.send("typed\n")
    streams.expect("got typed\n")
    streams.expect("err\n", STDERR)
    assert streams.finish() == 3


def test_exec_at_a_terminal(cri: Cri) -> None:
    streams = cri.pod().run().stream_exec("sh", tty=True)
    streams.expect("# ")
    streams.resize(41, 121)
    streams.send("until [ \"$(stty size)\" = '41 121' ]; do :; done; tty; echo going; cat\n")
    streams.expect("\ngoing\n")
    streams.send("typed\n")
    streams.expect("typed\ntyped\n")  # until cat gives it back the shell has the terminal, and may lose ^C
    streams.send("\x03")
    streams.expect("# ")
    streams.send("exit 6\n")
    assert streams.finish() == 6


def test_attach(cri: Cri) -> None:
    container = cri.pod().run("sh", "-c", "while read line; do echo got $line; done", stdin=True)
    streams = container.attach()
    streams.send("one\n")
    streams.expect("got one\n")
    again = container.attach()
    again.send("two\n")
    again.expect("got two\n")
    streams.expect("got two\n")
    for one in (streams, again):
        one.connection.close()
    wait_until(lambda: container.lines() == ["got one", "got two"], "the log has it as well")


def test_attach_to_a_terminal(cri: Cri) -> None:
    container = cri.pod().run("sh", stdin=True, tty=True)
    streams = container.attach(tty=True)
    streams.send("tty; echo $((40+2))\n")
    streams.expect("\n42\n")
    streams.send("exit 4\n")
    assert container.wait() == 4
    streams.connection.close()


def test_port_forward(cri: Cri) -> None:
    pod = cri.pod()
    container = pod.run("sh", "-c", "while :; do nc -l -p 8080 -e cat; done")
    wait_until(lambda: ":1F90 " in container.exec("sh", "-c", "cat /proc/net/tcp*")[1], "it listens")
    connection = pod.forward(8080)
    connection.send(b"\x00there and back\n")
    received = b""
    while b"there and back\n" not in received:
        message = connection.receive()
        assert message is not None, received
        received += message[1:]
    connection.close()


def test_log_rotation(cri: Cri) -> None:
    container = cri.pod().run("sh", "-c", TICKS)
    wait_until(lambda: len(container.lines()) > 2, "it writes")
    rotated = container.log.with_suffix(".1")
    container.log.rename(rotated)
    cri.call("ReopenContainerLog", container_id=container.id)
    wait_until(lambda: len(container.lines()) > 2, "it writes to the new file")
    container.stop()
    old = [line.split(" ", 3)[3] for line in rotated.read_text().splitlines()]
    numbers = [int(line) for line in old + container.lines()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_stats(cri: Cri) -> None:
    container = cri.pod().run(*("sh", "-c", FILL))
    wait_until(lambda: container.lines() == ["full"], "it has filled its memory")
    stats = cri.call("ContainerStats", container_id=container.id).stats
    assert stats.memory.working_set_bytes.value > 8 << 20
    assert stats.cpu.usage_core_nano_seconds.value > 0


def test_limits_and_their_update(cri: Cri) -> None:
    container = cri.pod().run(linux={"resources": {"memory_limit_in_bytes": 256 << 20, "cpu_shares": 512}})
    limit = ("cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    assert container.exec(*limit) == (0, f"{256 << 20}\n", "")
    cri.call("UpdateContainerResources", container_id=container.id, linux={"memory_limit_in_bytes": 128 << 20})
    assert container.exec(*limit) == (0, f"{128 << 20}\n", "")


def test_out_of_memory(cri: Cri) -> None:
    container = cri.pod().run(
        *("sh", "-c", "sleep 0.2; exec tail /dev/zero"), linux={"resources": {"memory_limit_in_bytes": 64 << 20}}
    )
    assert container.wait() == 137
    wait_until(lambda: container.status.reason == "OOMKilled", "the reason is told")


def test_security_context(cri: Cri) -> None:
    context = {
        "run_as_user": {"value": 1000},
        "readonly_rootfs": True,
        "no_new_privs": True,
        "capabilities": {"drop_capabilities": ["ALL"]},
    }
    script = "id -u; touch /tmp/x || echo read-only; grep -E 'CapBnd|NoNewPrivs' /proc/self/status"
    container = cri.pod().run("sh", "-c", script, linux={"security_context": context})
    assert container.wait() == 0
    wait_until(lambda: len(container.lines("stdout")) == 4, "all lines are in the log")
    assert container.lines("stdout") == ["1000", "read-only", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"]


def test_mounts_and_environment(cri: Cri) -> None:
    shared = cri.directory / "shared"
    shared.mkdir()
    (shared / "file").write_text("given\n")
    container = cri.pod().run(
        *("sh", "-c", "pwd; echo $A; cat file; echo back > file; echo no > /ro/file"),
        working_dir="/v",
        envs=[{"key": "A", "value": "b"}],
        mounts=[
            {"container_path": "/v", "host_path": str(shared)},
            {"container_path": "/ro", "host_path": str(shared), "readonly": True},
        ],
    )
    assert container.wait() == 1
    assert container.lines("stdout") == ["/v", "b", "given"]
    assert (shared / "file").read_text() == "back\n"


def test_an_image_without_a_command(cri: Cri) -> None:
    pod = cri.pod()
    with pytest.raises(cri.error, match="no command specified"):
        pod.create(image=NO_COMMAND).start()
    assert pod.run("true", image=NO_COMMAND, name="two").wait() == 0


def test_a_program_that_is_not_there(cri: Cri) -> None:
    pod = cri.pod()
    with pytest.raises(cri.error, match="no such file or directory"):
        pod.create("/no/such").start()  # containerd's create makes nothing yet; CRI-O's is the runtime's
    left = cri.call("ListContainers").containers
    assert [one.state for one in left] in ([], [messages().EXITED])
    assert pod.run("true", name="two").wait() == 0


def test_stop_asks_first(cri: Cri) -> None:
    container = cri.pod().run("sh", "-c", WAITS_FOR_TERM)
    wait_until(lambda: container.lines() == ["ready"], "it is ready")
    container.stop(timeout_s=20)
    assert container.status.exit_code == 3


def test_restart_of_the_daemon(cri_engine: Containerd | Crio, cri: Cri) -> None:
    pod = cri.pod()
    container = pod.run("sh", "-c", TICKS)
    ended = pod.create("sh", "-c", "sleep 1; exit 9", name="two")
    ended.start()
    cri_engine.restart()
    wait_until(cri.is_ready, "the engine answers again")
    assert container.status.state == messages().RUNNING
    assert container.exec("echo", "here") == (0, "here\n", "")
    assert ended.wait() == 9
    seen = len(container.lines())
    wait_until(lambda: len(container.lines()) > seen, "its log goes on")
    pod.run("true", name="three")


def test_stop_of_a_pod_ends_its_containers(cri: Cri) -> None:
    pod = cri.pod()
    containers = [pod.run("sh", "-c", WAITS_FOR_TERM, name=name) for name in ("a", "b", "c")]
    wait_until(lambda: all(container.lines() == ["ready"] for container in containers), "they are ready")
    pod.stop()
    assert [container.status.state for container in containers] == [messages().EXITED] * 3
    pod.remove()
