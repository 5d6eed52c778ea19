"""What each field of config.json becomes in the sandbox, is refused as, or is ignored as with a warning."""

from __future__ import annotations

import copy
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pysentry.oci.bundle import Bundle
from pysentry.oci.document import Fields
from pysentry.oci.errors import SpecError
from pysentry.oci.settings import Settings
from pysentry.oci.spec import Spec
from pysentry.oci.spec_process import Process, check_process
from pysentry.oci.translate import run_config
from pysentry.oci.translate_process import process_spec
from pysentry.sandbox.config import RunConfig
from pysentry.sandbox.process import Capabilities
from tests.harness.oci_documents import full, minimal

REFUSED = ("timeOffsets", "intelRdt", "netDevices", "memoryPolicy")


def bundle(document: dict[str, Any]) -> Bundle:
    return Bundle("/b", "/b/rootfs", Spec(Fields(document)))


def translate(**parts: Any) -> tuple[RunConfig, list[str]]:
    """A minimal document with other parts: process=..., linux=..."""
    document = minimal()
    document["process"] |= parts.pop("process", {})
    return run_config(bundle(document | parts), Settings())


def complaint(**parts: Any) -> str:
    with pytest.raises(SpecError) as caught:
        translate(**parts)
    return str(caught.value)


def namespaces(*names: str, **paths: str) -> list[dict[str, str]]:
    return [*({"type": name} for name in names), *({"type": name, "path": path} for name, path in paths.items())]


def test_the_least() -> None:
    config, warnings = translate()
    process = config.process
    assert process is not None
    assert warnings == []
    assert (config.argv, process.argv, process.cwd) == (["/bin/true"], ["/bin/true"], "/")
    assert (config.rootfs, config.root_writable, config.overlay) == ("/b/rootfs", True, False)
    assert (config.net, config.netns_fd, config.container) == ("host", -1, None)
    assert (config.mounts, config.devices, config.uid_map, config.pids) == ([], [], [], 0)
    assert config.hostname == os.uname().nodename
    assert (process.caps, process.umask, process.seccomp, process.rlimits) == (None, None, None, {})


def test_everything() -> None:
    document = full()
    for name in REFUSED:
        del document["linux"][name]
    document["linux"]["namespaces"][1] = {"type": "network"}
    config, warnings = run_config(bundle(document), Settings())
    process = config.process
    assert process is not None
    assert (process.uid, process.gid, process.groups, process.umask) == (1, 2, (5, 6), 0o77)
    assert process.env == {"PATH": "/usr/bin:/bin", "TERM": "xterm", "EMPTY": ""}
    assert (process.terminal, process.console_size) == (True, (25, 80))
    assert (process.no_new_privs, process.oom_score_adj) == (True, 100)
    assert process.rlimits == {4: (1023, 1024), 7: (1024, (1 << 64) - 1)}
    assert isinstance(process.caps, Capabilities)
    assert (process.caps.bounding, process.caps.effective) == (1 << 29 | 1 << 5, 1 << 5)
    assert (process.caps.permitted, process.caps.inheritable) == (1 << 5 | 1 << 7, 1 << 5 | 1)
    assert process.caps.ambient == 1 << 10
    assert process.seccomp
    assert (config.hostname, config.domainname, config.net) == ("box", "example.org", "none")
    assert config.uid_map == [(0, 100000, 65536)]
    assert config.gid_map == [(0, 200000, 65536)]
    assert config.devices == [("/dev/fuse", "c", 10, 229, 0o660, 1, 2), ("/dev/pipe", "p", 0, 0, 0o666, 0, 0)]
    assert config.sysctl == {"net.ipv4.ip_forward": "1"}
    assert (config.masked_paths, config.readonly_paths) == (("/proc/kcore",), ("/proc/sys",))
    assert config.root_writable is False
    assert config.pids == min(32771, resource.getrlimit(resource.RLIMIT_NPROC)[1] % (1 << 64))
    assert (config.user.uid, config.user.groups) == (1, (5, 6))
    assert warnings == [
        "linux.mountLabel is ignored: SELinux labels are not applied",
        "linux.personality.flags are ignored",
        "linux.rootfsPropagation=slave: not to and from the host",
        "can't raise ambient capability CAP_NET_BIND_SERVICE: not permitted and inheritable",
        "process.apparmorProfile is ignored",
        "process.selinuxLabel is ignored",
        "process.scheduler is ignored",
        "process.ioPriority is ignored",
        "process.execCPUAffinity is ignored",
    ]


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_make_a_difference_is_refused(name: str) -> None:
    assert complaint(linux={name: full()["linux"][name]}).startswith(f"linux.{name}: ")


def test_settings_hold() -> None:
    mine = Settings()
    mine.platform, mine.overlay, mine.network, mine.fast_path, mine.debug = "ptrace", True, "host", False, True
    document = minimal() | {"linux": {"namespaces": namespaces("network")}}
    config, _ = run_config(bundle(document), mine)
    assert (config.platform, config.overlay, config.net, config.fast_path) == ("ptrace", True, "host", False)
    assert config.is_verbose


# ---- the process ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("process", "message"),
    [
        ({"env": ["A=1", "B"]}, "process.env[1]: invalid environment variable: 'B'"),
        ({"env": ["=x"]}, "process.env[0]: invalid environment variable: '=x'"),
        ({"user": {"uid": 0xFFFFFFFF}}, "process.user: ids go from 0 to 4294967294"),
        (
            {"rlimits": [{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]},
            "process.rlimits[0].type: wrong rlimit value: RLIMIT_NONE",
        ),
        (
            {"rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2},
            "process.rlimits[1].type: RLIMIT_CPU is given twice",
        ),
        (
            {"rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]},
            "process.rlimits[0].soft: 2 is above the hard limit, 1",
        ),
    ],
)
def test_a_process_that_cannot_be(process: dict[str, Any], message: str) -> None:
    assert complaint(process=process) == message


def test_env_values_win_from_the_right() -> None:
    config, _ = translate(process={"env": ["A=1", "A=2=3"]})
    assert config.process is not None
    assert config.process.env == {"A": "2=3"}


def test_capabilities_that_nobody_knows_are_a_warning() -> None:
    config, warnings = translate(process={"capabilities": {"bounding": ["CAP_NEW", "CAP_CHOWN"], "ambient": ["chown"]}})
    assert config.process is not None
    assert config.process.caps is not None
    assert (config.process.caps.bounding, config.process.caps.effective) == (1, 0)
    assert warnings == ["ignoring unknown or unavailable capabilities: ['CAP_NEW' 'chown']"]
    sets = {"permitted": ["CAP_KILL", "CAP_CHOWN"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL", "CAP_CHOWN"]}
    _, warnings = translate(process={"capabilities": sets})
    assert warnings == ["can't raise ambient capability CAP_CHOWN: not permitted and inheritable"]


def test_an_execd_program_takes_from_the_first_what_it_does_not_say() -> None:
    document = full()
    first = Spec(Fields(document)).process
    made, _ = process_spec(Process(Fields({"cwd": "/", "args": ["ls"]})), first)
    assert made.caps is not None
    assert (made.caps.effective, made.umask, made.oom_score_adj) == (1 << 5, 0o77, 100)
    assert 7 in made.rlimits
    assert made.seccomp is None  # the sentry has the container's
    # These are its own.
    assert (made.uid, made.groups, made.env, made.no_new_privs, made.terminal) == (0, (), {}, False, False)
    asked = {"cwd": "/", "args": ["ls"], "capabilities": {}, "user": {"umask": 0}, "oomScoreAdj": -5}
    made, _ = process_spec(Process(Fields(asked)), first)
    assert made.caps is not None
    assert (made.caps.effective, made.umask, made.oom_score_adj) == (0, 0, -5)


# ---- namespaces ----------------------------------------------------------------------------------------------------


def test_the_network() -> None:
    assert translate(linux={"namespaces": namespaces("pid", "ipc")})[0].net == "host"
    assert translate(linux={"namespaces": namespaces("network", "pid", "ipc")})[0].net == "none"
    config, _ = translate(linux={"namespaces": namespaces(network="/proc/self/ns/net")})
    try:
        assert config.net == "none"
        assert os.readlink(f"/proc/self/fd/{config.netns_fd}") == os.readlink("/proc/self/ns/net")
    finally:
        os.close(config.netns_fd)
    assert complaint(linux={"namespaces": namespaces(network="/nowhere/x")}) == (
        "linux.namespaces[0].path: open /nowhere/x: no such file or directory"
    )


def test_namespaces_that_cannot_be() -> None:
    assert complaint(linux={"namespaces": namespaces("pid", "pid")}) == (
        'linux.namespaces[1]: malformed spec file: duplicated ns "pid"'
    )
    assert "time namespaces" in complaint(linux={"namespaces": namespaces("time")})
    assert complaint(linux={"namespaces": namespaces(ipc="/proc/self/ns/uts")}) == (
        "linux.namespaces[0].path: /proc/self/ns/uts is not a ipc namespace"
    )
    assert "/dev/null is not a network namespace" in complaint(linux={"namespaces": namespaces(network="/dev/null")})
    assert "no such file" in complaint(linux={"namespaces": namespaces(pid="/proc/0/ns/pid")})
    assert "joining a mount namespace" in complaint(linux={"namespaces": namespaces(mount="/proc/1/ns/mnt")})
    assert complaint(linux={"namespaces": namespaces(ipc="x")}) == (
        "linux.namespaces[0].path: 'x' is not an absolute path"
    )


def test_namespaces_that_are_not_shared_are_told() -> None:
    _, warnings = translate(linux={"namespaces": namespaces("ipc", pid="/proc/1/ns/pid")})
    assert warnings == [
        "linux.namespaces[1]: the pid namespace cannot be shared: the container has process ids of its own"
    ]
    _, warnings = translate(linux={"namespaces": namespaces("ipc")})
    assert len(warnings) == 1
    assert "the host's pid namespace" in warnings[0]


def test_the_hostname_of_a_pod() -> None:
    linux = {"namespaces": namespaces("pid", "ipc", uts="/proc/1/ns/uts")}
    assert translate(linux=linux, process={"env": ["HOSTNAME=pod-1"]})[0].hostname == "pod-1"
    assert translate(linux=linux, hostname="own", process={"env": ["HOSTNAME=pod-1"]})[0].hostname == "own"
    assert translate(process={"env": ["HOSTNAME=pod-1"]})[0].hostname == os.uname().nodename
    assert complaint(hostname="x" * 65) == "hostname: must not be longer than 64 bytes"


def test_user_namespaces() -> None:
    rows = [{"containerID": 0, "hostID": 1000, "size": 10}]
    user = {"namespaces": namespaces("user", "pid", "ipc"), "uidMappings": rows, "gidMappings": rows}
    assert translate(linux=user)[0].uid_map == [(0, 1000, 10)]
    assert complaint(linux={"uidMappings": rows}) == (
        "linux.uidMappings: user namespace mappings specified, but user namespace isn't enabled in the config"
    )
    assert "nor mappings to apply specified" in complaint(linux={"namespaces": namespaces("user")})
    assert complaint(linux=user, process={"user": {"uid": 10}}) == (
        "process.user.uid: cannot set uid to unmapped user in user namespace"
    )
    overlap = [*rows, {"containerID": 20, "hostID": 1009, "size": 1}]
    assert complaint(linux=user | {"uidMappings": overlap}) == "linux.uidMappings: two mappings overlap"
    for bad in ({"size": 0}, {"size": 0xFFFFFFFF}, {"hostID": 0xFFFFFFFF}):
        assert "linux.uidMappings[0]" in complaint(linux=user | {"uidMappings": [rows[0] | bad]})


def test_the_user_namespace_of_a_process_tells_its_map() -> None:
    config, _ = translate(linux={"namespaces": namespaces(user="/proc/self/ns/user")})
    rows = Path("/proc/self/uid_map").read_text().splitlines()
    assert config.uid_map == [tuple(map(int, row.split())) for row in rows]
    assert "can be joined" in complaint(linux={"namespaces": namespaces(user="/run/userns/x")})
    assert "no such file" in complaint(linux={"namespaces": namespaces(user="/proc/0/ns/user")})


# ---- sysctl --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("net.ipv4.ip_forward", "net.ipv4.ip_forward"),
        ("net/ipv4/conf/eno2.100/rp_filter", "net.ipv4.conf.eno2/100.rp_filter"),
        ("kernel.shmmax", "kernel.shmmax"),
        ("fs.mqueue.msg_max", "fs.mqueue.msg_max"),
        ("kernel/domainname", "kernel.domainname"),
    ],
)
def test_sysctl_names(given: str, name: str) -> None:
    linux = {"namespaces": namespaces("network", "ipc", "uts", "pid"), "sysctl": {given: "1"}}
    assert translate(linux=linux)[0].sysctl == {name: "1"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("kernel.shmmax", 'sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace'),
        ("net.core.x", 'sysctl "net.core.x" not allowed in host network namespace'),
        ("kernel.hostname", 'sysctl "kernel.hostname" is not in a separate kernel namespace'),
        ("vm.overcommit_memory", 'sysctl "vm.overcommit_memory" is not in a separate kernel namespace'),
        ("", 'sysctl "" is not in a separate kernel namespace'),
    ],
)
def test_sysctls_of_the_host_are_refused(name: str, problem: str) -> None:
    assert complaint(linux={"sysctl": {name: "1"}}) == f'linux.sysctl["{name}"]: {problem}'


# ---- nothing else comes out ----------------------------------------------------------------------------------------

PARTS = st.sampled_from([None, True, 0, -1, 1 << 40, "", "/", "..", "x" * 70, "net.x", [], [""], ["="], {}, [{}]]) | (
    st.sampled_from([{"": ""}, {"../x": "y"}, ["ro"], ["bind"], "tmpfs", "bind", "CAP_KILL", "SCMP_ACT_LOG", "/proc"])
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 400), PARTS), min_size=1, max_size=3))
def test_a_mutated_document_gives_a_config_or_a_spec_error(changes: list[tuple[int, Any]]) -> None:
    document = full()
    for name in REFUSED:
        del document["linux"][name]
    document["linux"]["namespaces"][1] = {"type": "network"}
    for at, value in changes:
        places = list(containers(document))
        inner, key = places[at % len(places)]
        inner[key] = copy.deepcopy(value)
    try:
        made = bundle(document)
        check_process(made.spec.process)
        config, _ = run_config(made, Settings())
    except SpecError as error:
        str(error).encode()
        return
    for fd in (config.netns_fd, config.ipcns_fd):
        if fd >= 0:
            os.close(fd)
    assert all(row.target.startswith("/") and ".." not in row.target.split("/") for row in config.mounts)


def containers(value: Any) -> Any:
    """(object or array, key) of every place in a document."""
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from containers(value[key])
