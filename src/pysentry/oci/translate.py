"""What config.json asks for, as the sandbox takes it: Spec and Settings -> RunConfig.

Owns what each field becomes, is refused or is ignored with a warning, except for the process (translate_process.py),
mounts (translate_mounts.py) and the system call filter (seccomp.py). Starts nothing; looks at the host only for the id
map of a namespace.
"""

from __future__ import annotations

import os

from pysentry.oci.errors import SpecError
from pysentry.oci.translate_mounts import translate_devices, translate_mounts, translate_paths
from pysentry.oci.translate_process import NO_ID, process_spec
from pysentry.sandbox.config import SETTINGS_OF_IPC, RunConfig, User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.oci.bundle import Bundle
    from pysentry.oci.settings import Settings
    from pysentry.oci.spec import Spec
    from pysentry.oci.spec_linux import IdMapping, Linux, Namespace

# Namespaces that a path in config.json cannot make us share, with what happens instead.
_NOT_SHARED = {
    "cgroup": "the container sees its own cgroup as the root",
    "ipc": "the container has System V IPC and message queues of its own",
    "pid": "the container has process ids of its own",
    "uts": "the container has a host name of its own, what HOSTNAME says",
}
_COPIED = ("cgroup", "uts")
"""Where the host's own is meant, the container starts with what that says, which is no surprise."""
_NS_GET_NSTYPE = 0xB703
_CLONE_FLAGS = {"cgroup": 1 << 25, "uts": 1 << 26, "ipc": 1 << 27, "pid": 1 << 29, "network": 1 << 30}


def run_config(bundle: Bundle, settings: Settings) -> tuple[RunConfig, list[str]]:
    """The container of a bundle, without `container`, and warnings. netns_fd is open (CLOEXEC) if the container joins a
    network namespace, ipcns_fd if it names one of ipc; the caller closes them.

    Args:
        settings: after Settings.with_annotations().

    Raises:
        SpecError: what the sandbox cannot do and must not leave out. SeccompError.
    """
    spec, linux = bundle.spec, bundle.spec.linux
    config = RunConfig(list(bundle.process.args))
    warnings: list[str] = []
    _refuse(linux)
    _warn_of_ignored(spec, warnings)
    config.rootfs = bundle.rootfs
    config.root_writable = spec.root is not None and not spec.root.readonly
    config.propagation = linux.rootfs_propagation
    config.overlay = settings.overlay
    config.platform = settings.platform
    config.fast_path = settings.fast_path
    config.is_verbose = settings.debug
    _namespaces(linux, warnings)
    config.uid_map = _id_map(linux, "uid", linux.uid_mappings)
    config.gid_map = _id_map(linux, "gid", linux.gid_mappings)
    config.hostname = _hostname(spec) or config.hostname
    config.domainname = _name(spec.domainname, "domainname")
    config.sysctl = _sysctl(linux)
    config.mounts = translate_mounts(spec, bundle.path, warnings)
    config.devices = translate_devices(linux)
    config.masked_paths = translate_paths(linux.masked_paths, "linux.maskedPaths")
    config.readonly_paths = translate_paths(linux.readonly_paths, "linux.readonlyPaths")
    config.pids = _pids(linux)
    process, more = process_spec(bundle.process)
    if linux.seccomp is not None:
        from pysentry.oci.seccomp import compile_seccomp

        process.seccomp = compile_seccomp(linux.seccomp)
    config.process = process
    config.user = User(process.uid, process.gid, process.groups)
    for kind, identity, rows in (("uid", process.uid, config.uid_map), ("gid", process.gid, config.gid_map)):
        if rows and not any(inside <= identity < inside + count for inside, _, count in rows):
            raise SpecError(f"process.user.{kind}", f"cannot set {kind} to unmapped user in user namespace")
    _network(linux, settings, config)  # last: nothing that comes after it can fail and leave the descriptor open
    config.ipcns_fd = _open_ipc(linux)
    return config, [*warnings, *more]


# ---- the container -------------------------------------------------------------------------------------------------


def _refuse(linux: Linux) -> None:
    """What would make a difference that somebody relies on. runtime-spec wants an error for most of it."""
    if linux.time_offsets:
        raise SpecError("linux.timeOffsets", "time offsets are not supported")
    if linux.intel_rdt is not None:
        raise SpecError("linux.intelRdt", "intelRdt is specified in config, but Intel RDT is not supported")
    if linux.net_devices:
        raise SpecError("linux.netDevices", "moving network devices is not supported")
    if linux.memory_policy is not None and linux.memory_policy.mode not in ("", "MPOL_DEFAULT"):
        raise SpecError("linux.memoryPolicy", "memory policies are not supported")
    if linux.personality is not None and linux.personality.domain == "LINUX32":
        raise SpecError("linux.personality.domain", "LINUX32 is not supported: 32-bit programs cannot run")


def _warn_of_ignored(spec: Spec, warnings: list[str]) -> None:
    linux = spec.linux
    if linux.mount_label:
        warnings.append("linux.mountLabel is ignored: SELinux labels are not applied")
    if linux.personality is not None and linux.personality.flags:
        warnings.append("linux.personality.flags are ignored")
    if linux.rootfs_propagation.endswith(("shared", "slave")):
        warnings.append(f"linux.rootfsPropagation={linux.rootfs_propagation}: not to and from the host")


def _namespaces(linux: Linux, warnings: list[str]) -> None:
    seen = set()
    for namespace in linux.namespaces:
        if namespace.name in seen:
            raise SpecError(namespace.where, f'malformed spec file: duplicated ns "{namespace.name}"')
        seen.add(namespace.name)
        if namespace.name == "time":
            raise SpecError(namespace.where, "time namespaces are not supported")
        if namespace.path and not namespace.path.startswith("/"):
            raise SpecError(f"{namespace.where}.path", f"{namespace.path!a} is not an absolute path")
        if namespace.path and namespace.name == "mount":
            raise SpecError(f"{namespace.where}.path", "joining a mount namespace is not supported")
        if namespace.path and namespace.name in _CLONE_FLAGS:
            _check_kind(namespace)
        if namespace.path and namespace.name in _NOT_SHARED:
            instead = _NOT_SHARED[namespace.name]
            warnings.append(f"{namespace.where}: the {namespace.name} namespace cannot be shared: {instead}")
    if linux.namespaces:
        for name in sorted(_NOT_SHARED.keys() - seen - set(_COPIED)):
            warnings.append(f"linux.namespaces: the host's {name} namespace cannot be shared: {_NOT_SHARED[name]}")


def _check_kind(namespace: Namespace) -> None:
    """Also where it is not joined: a path that leads elsewhere is a mistake that runc tells of. One that we may not
    open (another sentry's, without root) is believed."""
    import fcntl

    where = f"{namespace.where}.path"
    try:
        fd = os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except PermissionError:
        return
    except OSError as error:
        raise SpecError(where, f"open {namespace.path}: {os.strerror(error.errno or 0).lower()}") from None
    try:
        kind = fcntl.ioctl(fd, _NS_GET_NSTYPE)
    except OSError:
        kind = 0
    finally:
        os.close(fd)
    if kind != _CLONE_FLAGS[namespace.name]:
        raise SpecError(where, f"{namespace.path} is not a {namespace.name} namespace")


def _network(linux: Linux, settings: Settings, config: RunConfig) -> None:
    """Sets config.net, and config.netns_fd for a namespace to join; net is "none" then too: a descriptor that got lost
    would mean no network rather than the host's."""
    namespace = linux.namespace("network")
    config.net = "host" if namespace is None else "none"
    if settings.network != "auto":
        config.net = settings.network
    elif namespace is not None and namespace.path:
        try:
            config.netns_fd = os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            problem = f"open {namespace.path}: {os.strerror(error.errno or 0).lower()}"
            raise SpecError(f"{namespace.where}.path", problem) from None


def _open_ipc(linux: Linux) -> int:
    """The ipc namespace of a path, for its settings (sandbox/ipc_settings.py); -1: none, or we may not open it."""
    namespace = linux.namespace("ipc")
    if namespace is None or not namespace.path:
        return -1
    try:
        return os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return -1


def _id_map(linux: Linux, kind: str, mappings: list[IdMapping]) -> list[tuple[int, int, int]]:
    """How ids inside are owners of host files. A user namespace that is joined tells its own map."""
    namespace = linux.namespace("user")
    where = f"linux.{kind}Mappings"
    if namespace is None:
        if mappings:
            problem = "user namespace mappings specified, but user namespace isn't enabled in the config"
            raise SpecError(where, problem)
        return []
    if namespace.path:
        if mappings:
            raise SpecError(where, "user namespace mappings specified, but also namespace path")
        return _map_of_namespace(namespace.path, kind, f"{namespace.where}.path")
    if not mappings:
        problem = "user namespaces enabled, but no namespace path to join nor mappings to apply specified"
        raise SpecError(where, problem)
    made = []
    for at, mapping in enumerate(mappings):
        if not mapping.size or max(mapping.container_id, mapping.host_id) + mapping.size > NO_ID:
            raise SpecError(f"{where}[{at}]", f"ids go from 0 to {NO_ID - 1}")
        made.append((mapping.container_id, mapping.host_id, mapping.size))
    for by in (0, 1):
        ranges = sorted((row[by], row[by] + row[2]) for row in made)
        if any(ranges[at][1] > ranges[at + 1][0] for at in range(len(ranges) - 1)):
            raise SpecError(where, "two mappings overlap")
    return made


def _map_of_namespace(path: str, kind: str, where: str) -> list[tuple[int, int, int]]:
    """/proc/PID/ns/user has its map beside it. That of a namespace file elsewhere cannot be read without joining it."""
    parts = path.split("/")
    if len(parts) != 5 or parts[:2] != ["", "proc"] or parts[3:] != ["ns", "user"]:
        raise SpecError(where, f"{path!a}: only the user namespace of a process, /proc/PID/ns/user, can be joined")
    try:
        with open(f"/proc/{parts[2]}/{kind}_map", encoding="ascii") as file:
            rows = [line.split() for line in file]
    except OSError as error:
        raise SpecError(where, f"{path}: {os.strerror(error.errno or 0).lower()}") from None
    return [(int(inside), int(host), int(count)) for inside, host, count in rows]


def _hostname(spec: Spec) -> str:
    """ "" for the host's. A pod's name is that of the UTS namespace it shares; who made it also put it in HOSTNAME."""
    namespace = spec.linux.namespace("uts")
    if not spec.hostname and namespace is not None and namespace.path and spec.process is not None:
        for entry in spec.process.env:
            if entry.startswith("HOSTNAME=") and len(entry.encode()) <= 64 + len("HOSTNAME="):
                return entry.removeprefix("HOSTNAME=")
    return _name(spec.hostname, "hostname")


def _name(value: str, field: str) -> str:
    """A host or domain name that sethostname(2) would take."""
    if len(value.encode()) > 64:
        raise SpecError(field, "must not be longer than 64 bytes")
    return value


def _sysctl(linux: Linux) -> dict[str, str]:
    """Names with dots, a dot in a name as a slash, as sysctl(8) has them. Only what belongs to a namespace of the
    container's own can be set, in runc's words; whether we know it is the sandbox's to say."""
    own = {namespace.name for namespace in linux.namespaces}
    made = {}
    for given, value in linux.sysctl.items():
        first = next((letter for letter in given if letter in "./"), ".")
        name = given if first == "." else given.translate({ord("."): "/", ord("/"): "."})
        where = f'linux.sysctl["{given}"]'
        if name.startswith(SETTINGS_OF_IPC):
            if "ipc" not in own:
                raise SpecError(where, f'sysctl "{name}" is not allowed in the hosts ipc namespace')
        elif name.startswith("net."):
            if "network" not in own:
                raise SpecError(where, f'sysctl "{name}" not allowed in host network namespace')
        elif name == "kernel.hostname" and "uts" in own:
            raise SpecError(where, f'sysctl "{name}" is not allowed as it conflicts with the OCI "hostname" field')
        elif not (name == "kernel.domainname" and "uts" in own) and not (name.startswith("user.") and "user" in own):
            raise SpecError(where, f'sysctl "{name}" is not in a separate kernel namespace')
        made[name] = value
    return made


def _pids(linux: Linux) -> int:
    """Tasks that the program may have; 0: no limit of ours. The cgroup has the same limit, but our own processes count
    there too. A hard limit of ours cannot be raised, so no more than that."""
    import resource

    limit = linux.resources.pids_limit if linux.resources is not None else None
    if limit is None or limit <= 0:
        return 0
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return limit if hard == resource.RLIM_INFINITY else min(limit, hard)
