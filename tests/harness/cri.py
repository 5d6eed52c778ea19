"""A small client of the container runtime interface: what a kubelet would ask, over gRPC and the streaming server."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.harness.engine_host import EngineHost
from tests.harness.engine_images import BUSYBOX
from tests.harness.patience import PATIENCE_S, wait_until
from tests.harness.programs import made_once
from tests.harness.websocket import WebSocket

PROTO = Path(__file__).with_name("cri.proto")
STDIN, STDOUT, STDERR, STATUS, RESIZE = range(5)


@cache
def messages() -> ModuleType:
    """The module that protoc makes of cri.proto."""

    def make(directory: Path) -> None:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO.parent}", f"--python_out={directory}", PROTO]
        subprocess.run(command, check=True)

    spec = importlib.util.spec_from_file_location("cri_pb2", made_once("cri", make) / "cri_pb2.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Cri:
    """Calls of the RuntimeService at `socket` (a path on the machine), and pods made by them."""

    def __init__(self, host: EngineHost, socket: str, handler: str) -> None:
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # the tests fork only to exec
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        import grpc

        self.host, self.handler = host, handler
        self.error = grpc.RpcError
        # gRPC takes no path longer than sockaddr_un has room for; this one is short.
        self.channel = grpc.insecure_channel(
            f"unix:/proc/{host.pid}/root{socket}", options=[("grpc.default_authority", "localhost")]
        )
        self.service = messages().DESCRIPTOR.services_by_name["RuntimeService"]
        self.names = (f"pod{number}" for number in itertools.count())
        self.directory = host.directory / f"cri-{Path(socket).stem}"
        self.directory.mkdir()
        self.logs = self.directory / "logs"

    def call(self, method: str, timeout_s: float = PATIENCE_S, **fields: Any) -> Any:
        """One call; `fields` may be dictionaries. Raises self.error (a grpc.RpcError)."""
        described = self.service.methods_by_name[method]
        module = messages()
        request = getattr(module, described.input_type.name)
        response = getattr(module, described.output_type.name)
        ask = self.channel.unary_unary(
            f"/{self.service.full_name}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return ask(request(**fields), timeout=timeout_s, wait_for_ready=True)

    def pod(self, **options: Any) -> Pod:
        return Pod(self, next(self.names), **options)

    def is_ready(self) -> bool:
        try:
            status = self.call("Status", timeout_s=30).status
        except self.error:
            return False
        return all(condition.status for condition in status.conditions)

    def clean(self) -> None:
        """Removes every pod, its containers with it. These are stopped first, as a kubelet does it: CRI-O lets what a
        pod still has take as long as the call may, and a first process ignores SIGTERM."""
        for container in self.call("ListContainers").containers:
            self.call("StopContainer", container_id=container.id, timeout=0)
        for pod in self.call("ListPodSandbox").items:
            self.call("StopPodSandbox", pod_sandbox_id=pod.id)
            self.call("RemovePodSandbox", pod_sandbox_id=pod.id)
        assert not self.call("ListContainers").containers

    def stream(self, url: str) -> WebSocket:
        return WebSocket(self.host.socket(), url, "v4.channel.k8s.io")

    def close(self) -> None:
        self.channel.close()


class Pod:
    """A pod sandbox, running from the start."""

    def __init__(self, cri: Cri, name: str, *, on_host_network: bool = False, shares_pids: bool = False) -> None:
        self.cri, self.name = cri, name
        self.logs = cri.logs / name
        self.logs.mkdir(parents=True)
        self.namespaces = {"network": 2 if on_host_network else 0, "pid": 0 if shares_pids else 1}
        self.config = {
            "metadata": {"name": name, "uid": f"uid-{name}", "namespace": "tests"},
            "log_directory": str(self.logs),
            "linux": {
                "cgroup_parent": cri.host.cgroup,
                "security_context": {"namespace_options": self.namespaces},
            },
        }
        if not on_host_network:
            self.config["hostname"] = name
        self.id = cri.call("RunPodSandbox", config=self.config, runtime_handler=cri.handler).pod_sandbox_id

    @property
    def address(self) -> str:
        return str(self.cri.call("PodSandboxStatus", pod_sandbox_id=self.id).status.network.ip)

    def create(self, *command: str, name: str = "one", image: str = BUSYBOX, **config: Any) -> Container:
        """`config`: more of ContainerConfig, e.g. linux={"resources": …}, stdin=True."""
        linux = config.setdefault("linux", {})
        linux.setdefault("security_context", {}).setdefault("namespace_options", self.namespaces)
        container = {
            "metadata": {"name": name},
            "image": {"image": image},
            "command": list(command),
            "log_path": f"{name}.log",
            **config,
        }
        answer = self.cri.call("CreateContainer", pod_sandbox_id=self.id, config=container, sandbox_config=self.config)
        return Container(self, answer.container_id, self.logs / f"{name}.log")

    def run(self, *command: str, **config: Any) -> Container:
        container = self.create(*(command or ("sleep", "1000")), **config)
        container.start()
        return container

    def forward(self, port: int) -> WebSocket:
        """A connection to a port inside: its messages start with a channel, 0 is data, 1 errors."""
        url = self.cri.call("PortForward", pod_sandbox_id=self.id, port=[port]).url
        return self.cri.stream(f"{url}?port={port}")

    def stop(self) -> None:
        self.cri.call("StopPodSandbox", pod_sandbox_id=self.id)

    def remove(self) -> None:
        self.cri.call("RemovePodSandbox", pod_sandbox_id=self.id)


class Container:
    def __init__(self, pod: Pod, id: str, log: Path) -> None:
        self.pod, self.cri, self.id, self.log = pod, pod.cri, id, log

    def start(self) -> None:
        self.cri.call("StartContainer", container_id=self.id)

    def stop(self, timeout_s: int = 0) -> None:
        self.cri.call("StopContainer", container_id=self.id, timeout=timeout_s)

    def remove(self) -> None:
        self.cri.call("RemoveContainer", container_id=self.id)

    @property
    def status(self) -> Any:
        return self.cri.call("ContainerStatus", container_id=self.id).status

    def wait(self) -> int:
        """The exit status, when it has ended."""
        wait_until(lambda: self.status.state == messages().EXITED, "the container ended")
        return int(self.status.exit_code)

    def lines(self, stream: str | None = None) -> list[str]:
        """What its log holds of a stream, or of both: `TIME stream F|P text` a line."""
        if not self.log.exists():
            return []
        entries = [line.split(" ", 3) for line in self.log.read_text().splitlines()]
        return [text for _, kind, _, text in entries if stream in (None, kind)]

    def exec(self, *command: str, timeout_s: int = 0) -> tuple[int, str, str]:
        """ExecSync: status, output, errors."""
        done = self.cri.call("ExecSync", container_id=self.id, cmd=command, timeout=timeout_s)
        return done.exit_code, done.stdout.decode(), done.stderr.decode()

    def stream_exec(self, *command: str, tty: bool = False) -> Streams:
        """Exec: its output, input and status over the streaming server."""
        request = {"stdin": True, "stdout": True, "stderr": not tty, "tty": tty}
        return Streams(self.cri.stream(self.cri.call("Exec", container_id=self.id, cmd=command, **request).url))

    def attach(self, tty: bool = False) -> Streams:
        request = {"stdin": True, "stdout": True, "stderr": not tty, "tty": tty}
        return Streams(self.cri.stream(self.cri.call("Attach", container_id=self.id, **request).url))


class Streams:
    """Channels of remotecommand version 4 over one connection."""

    def __init__(self, connection: WebSocket) -> None:
        self.connection = connection
        self.seen = {STDOUT: "", STDERR: "", STATUS: ""}

    def send(self, text: str) -> None:
        self.connection.send(bytes([STDIN]) + text.encode())

    def resize(self, rows: int, columns: int) -> None:
        self.connection.send(bytes([RESIZE]) + json.dumps({"Width": columns, "Height": rows}).encode())

    def _receive(self) -> bool:
        message = self.connection.receive()
        if message is None:
            return False
        self.seen[message[0]] += message[1:].decode(errors="backslashreplace").replace("\r", "")
        return True

    def expect(self, text: str, channel: int = STDOUT) -> None:
        """Waits until `text` came; what is before it is forgotten."""
        while text not in self.seen[channel]:
            assert self._receive(), f"{text!r} did not come: {self.seen}"
        self.seen[channel] = self.seen[channel].split(text, 1)[1]

    def finish(self) -> int:
        """Reads to the end; the exit status of an exec."""
        while self._receive():
            pass
        self.connection.close()
        status = json.loads(self.seen[STATUS])
        if status["status"] == "Success":
            return 0
        causes = {cause["reason"]: cause["message"] for cause in status["details"]["causes"]}
        return int(causes["ExitCode"])
