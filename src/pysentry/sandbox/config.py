"""What one run is to be: RunConfig, and the words of an option turned into its value.

Owns every check that can be made before anything is started. Does not own how options are spelled (cli/options.py)
nor what they lead to (launcher, boot). Imported before the gofer is forked, so it imports nothing that is slow.
"""

from __future__ import annotations

import os

from pysentry.sandbox.errors import ConfigError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pysentry.net.egress import Rule
    from pysentry.sandbox.container import Container
    from pysentry.sandbox.process import ProcessSpec

PLATFORMS = ("auto", "seccomp", "ptrace")
NETWORKS = ("none", "host")
PIDS_DEFAULT = 4096
SETTINGS_OF_IPC = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")
"""How the names of settings begin that each ipc namespace has for itself (ipc_namespaces(7))."""
HIDDEN_ENV = "PYSENTRY_"
"""Variables with this prefix are for us; the workload does not see them."""


class User:
    """Whom the workload takes itself for. Ids are the sandbox's own: nothing on the host has them."""

    __slots__ = ("gid", "groups", "uid")

    def __init__(self, uid: int, gid: int, groups: Iterable[int] = ()) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = tuple(groups)


class MountRow:
    """One mount of the sandbox's tree, in the order they are made.

    kind: "bind", "tmpfs", "proc", "sysfs", "dev", "devpts", "mqueue", "cgroup" or "shm".
    source: the host path of a bind, else None. target: absolute path inside.
    words: options without a value, such as "ro", "nosuid", "nodev", "noexec", "rbind". options: those with one, such as
    mode, size, uid, gid. writable_below: of a recursive bind that is read-only itself, the host's mounts below its
    source, relative to it: they are not (filled in when the source is looked at).
    """

    __slots__ = ("kind", "options", "source", "target", "words", "writable_below")

    def __init__(
        self,
        kind: str,
        target: str,
        source: str | None = None,
        words: Iterable[str] = (),
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.target = target
        self.source = source
        self.words = frozenset(words)
        self.options = dict(options or {})
        self.writable_below: list[bytes] = []


class RunConfig:
    """One run. Paths are absolute; every value was checked.

    argv, env: as execve(2) takes them, str with surrogateescape. binds: (host path, path inside, is_read_only).
    egress: rules for the host's network; none: all of it can be reached. timeout_s: seconds or None. trace, stats,
    changes: None (off), "-" (stderr) or a file. report_path, export: a file or None.

    Of containers only: container, process (argv, env, cwd and user above are not used then), mounts (binds and tmpfs
    are not), root_writable: the rootfs is changed in place; overlay: or an overlay in memory is above it;
    propagation: of the root ("shared", "slave", "private", "unbindable"), or of all mounts ("rshared", ...);
    masked_paths, readonly_paths; devices: (path, "c" or "b" or "p", major, minor, mode, uid, gid); uid_map, gid_map:
    (inside, host, count), how owners of host files show; netns_fd: the network namespace to join, or -1; ipcns_fd: the
    ipc namespace whose settings it is to have, or -1.
    """

    __slots__ = (
        "argv",
        "binds",
        "changes",
        "closed_stdio",
        "container",
        "cwd",
        "devices",
        "domainname",
        "egress",
        "env",
        "export",
        "fast_path",
        "gid_map",
        "hostname",
        "ipcns_fd",
        "is_verbose",
        "masked_paths",
        "mounts",
        "net",
        "netns_fd",
        "overlay",
        "pids",
        "platform",
        "process",
        "propagation",
        "readonly_paths",
        "report_path",
        "root_writable",
        "rootfs",
        "stats",
        "sysctl",
        "timeout_s",
        "tmpfs",
        "trace",
        "tty",
        "uid_map",
        "umask",
        "user",
    )

    def __init__(self, argv: list[str]) -> None:
        self.argv = argv
        self.env: dict[str, str] = {}
        self.cwd = "/"
        self.rootfs = "/"
        self.binds: list[tuple[str, str, bool]] = []
        self.tmpfs: list[str] = []
        self.hostname = os.uname().nodename
        self.user = User(os.getuid(), os.getgid(), os.getgroups())
        self.timeout_s: float | None = None
        self.pids = PIDS_DEFAULT
        self.platform = "auto"
        self.fast_path = True
        self.trace: str | None = None
        self.stats: str | None = None
        self.changes: str | None = None
        self.export: str | None = None
        self.report_path: str | None = None
        self.tty: bool | None = None
        """True: -t; None: as stdin and stdout are."""
        self.net = "none"
        self.egress: list[Rule] = []
        self.is_verbose = False
        self.closed_stdio: tuple[int, ...] = ()
        """Which of 0, 1, 2 our caller had closed: the program has them closed too."""
        self.container: Container | None = None
        self.process: ProcessSpec | None = None
        self.mounts: list[MountRow] = []
        self.root_writable = False
        self.overlay = True
        self.masked_paths: tuple[str, ...] = ()
        self.readonly_paths: tuple[str, ...] = ()
        self.devices: list[tuple[str, str, int, int, int, int, int]] = []
        self.uid_map: list[tuple[int, int, int]] = []
        self.gid_map: list[tuple[int, int, int]] = []
        self.umask = 0o022
        self.domainname = ""
        self.propagation = ""
        self.sysctl: dict[str, str] = {}
        self.netns_fd = -1
        self.ipcns_fd = -1


def run_config(options: Mapping[str, object], argv: list[str], environ: Mapping[str, str]) -> RunConfig:
    """The configuration for `pysentry run`.

    Args:
        options: by the names of cli/options.py: str values, lists of them for options that repeat, True for flags.
        argv: the command and its arguments, at least one.
        environ: our own environment; the workload inherits it unless it is ours (HIDDEN_ENV).

    Raises:
        ConfigError: the first value that cannot be used, in words.
    """
    if not argv:
        raise ConfigError("no command given (try: pysentry run -- CMD [ARGS])")
    config = RunConfig(argv)
    config.env = {name: value for name, value in environ.items() if not name.startswith(HIDDEN_ENV)}
    config.umask = _caller_umask()
    config.report_path = environ.get("PYSENTRY_REPORT") or None
    for name, value in options.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            _SETTERS[name](config, one)
    if "cwd" not in options:
        config.cwd = _caller_cwd() if config.rootfs == "/" else "/"
    if config.egress and config.net != "host":
        raise ConfigError("--egress: there is nothing to reach without --net host")
    if "user" in options:  # after --rootfs: names are looked up there
        config.user = parse_user(str(options["user"]), config.rootfs)
    return config


def _caller_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _caller_cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"  # it was removed


def _absolute(option: str, path: str) -> str:
    if not path.startswith("/"):
        raise ConfigError(f"{option} {path}: not an absolute path")
    if "\0" in path:
        raise ConfigError(f"{option}: a path cannot hold a NUL byte")
    if ".." in path.split("/"):
        raise ConfigError(f"{option} {path}: must not contain '..'")
    return os.path.normpath(path).replace("//", "/")


def _set_rootfs(config: RunConfig, value: str) -> None:
    path = os.path.abspath(value)
    _must_be_openable("--rootfs", value, path, os.O_DIRECTORY)
    config.rootfs = path


def _must_be_openable(option: str, shown: str, path: str, flags: int) -> None:
    """Now, as ourselves, and again by the gofer: this one is for the message."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags))
    except OSError as error:
        raise ConfigError(f"{option} {shown}: {describe(error.errno or 0)}") from None
    except ValueError:
        raise ConfigError(f"{option}: a path cannot hold a NUL byte") from None


def parse_bind(value: str) -> tuple[str, str, bool]:
    """`SRC:DST[:ro|rw]` as (host path, path inside, is_read_only). Read-only unless it says rw."""
    parts = value.split(":")
    if len(parts) == 2:
        parts.append("ro")
    if len(parts) != 3 or not parts[0] or not parts[1]:
        raise ConfigError(f"--bind {value}: expected SRC:DST[:ro|rw]")
    source, target, mode = parts
    if mode not in ("ro", "rw"):
        raise ConfigError(f"--bind {value}: '{mode}' is neither ro nor rw")
    target = _absolute("--bind", target)
    if target == "/":
        raise ConfigError(f"--bind {value}: the root itself is given with --rootfs")
    return os.path.abspath(source), target, mode == "ro"


def _add_bind(config: RunConfig, value: str) -> None:
    bind = parse_bind(value)
    try:
        os.stat(bind[0])
    except OSError as error:
        raise ConfigError(f"--bind {value}: {bind[0]}: {describe(error.errno or 0)}") from None
    except ValueError:
        raise ConfigError("--bind: a path cannot hold a NUL byte") from None
    config.binds.append(bind)


def _add_tmpfs(config: RunConfig, value: str) -> None:
    path = _absolute("--tmpfs", value)
    if path == "/":
        raise ConfigError("--tmpfs /: the root has an overlay in memory already")
    config.tmpfs.append(path)


def _set_cwd(config: RunConfig, value: str) -> None:
    config.cwd = _absolute("--cwd", value)


def _add_env(config: RunConfig, value: str) -> None:
    name, equals, content = value.partition("=")
    if not name or not equals or "\0" in value:
        raise ConfigError(f"--env {value}: expected NAME=VALUE")
    config.env[name] = content


def _set_hostname(config: RunConfig, value: str) -> None:
    if not 0 < len(os.fsencode(value)) <= 64 or not all(c.isascii() and (c.isalnum() or c in "-._") for c in value):
        raise ConfigError(f"--hostname {value}: 1 to 64 letters, digits, '-', '_' or '.'")
    config.hostname = value


_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(option: str, value: str) -> float:
    """`2`, `1.5`, `500ms`, `2s`, `5m`, `1h` in seconds; more than 0."""
    digits = value.rstrip("hms")
    try:
        seconds = float(digits) * _SECONDS[value[len(digits) :] or "s"]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0.0 < seconds <= 3.2e8:
        raise ConfigError(f"{option} {value}: expected a time such as 2, 1.5s, 500ms, 5m or 1h")
    return seconds


def _set_timeout(config: RunConfig, value: str) -> None:
    config.timeout_s = parse_duration("--timeout", value)


def _set_pids(config: RunConfig, value: str) -> None:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 1 << 22:
        raise ConfigError(f"--pids {value}: expected a number of processes and threads from 1 to 4194304")
    config.pids = int(value)


def _choice(option: str, choices: tuple[str, ...], value: str) -> str:
    if value not in choices:
        raise ConfigError(f"{option} {value}: expected one of {', '.join(choices)}")
    return value


def _set_platform(config: RunConfig, value: str) -> None:
    config.platform = _choice("--platform", PLATFORMS, value)


def _set_fast_path(config: RunConfig, value: str) -> None:
    config.fast_path = _choice("--fast-path", ("on", "off"), value) == "on"


def _set_net(config: RunConfig, value: str) -> None:
    config.net = _choice("--net", NETWORKS, value)


def _add_egress(config: RunConfig, value: str) -> None:
    from pysentry.net.egress import parse_rule

    try:
        config.egress.append(parse_rule(value))
    except ValueError as error:
        raise ConfigError(f"--egress {value}: {error}") from None


def _output(option: str, value: str) -> str:
    if not value or "\0" in value:
        raise ConfigError(f"{option}=: expected a file name")
    return value if value == "-" else os.path.abspath(value)


def _set_trace(config: RunConfig, value: str) -> None:
    config.trace = _output("--trace", value)


def _set_stats(config: RunConfig, value: str) -> None:
    config.stats = _output("--stats", value)


def _set_changes(config: RunConfig, value: str) -> None:
    config.changes = _output("--changes", value)


def _set_export(config: RunConfig, value: str) -> None:
    config.export = os.path.abspath(_output("--export", value))


def _set_tty(config: RunConfig, value: object) -> None:
    config.tty = True if value else config.tty


def _set_verbose(config: RunConfig, value: object) -> None:
    config.is_verbose = bool(value)


def _set_user(config: RunConfig, value: str) -> None:
    """Looked up at the end, when the root is known."""


if TYPE_CHECKING:
    from typing import Any

    _SETTERS: dict[str, Callable[[RunConfig, Any], None]]

_SETTERS = {
    "rootfs": _set_rootfs,
    "bind": _add_bind,
    "tmpfs": _add_tmpfs,
    "cwd": _set_cwd,
    "env": _add_env,
    "hostname": _set_hostname,
    "user": _set_user,
    "timeout": _set_timeout,
    "trace": _set_trace,
    "stats": _set_stats,
    "changes": _set_changes,
    "export": _set_export,
    "platform": _set_platform,
    "fast_path": _set_fast_path,
    "pids": _set_pids,
    "net": _set_net,
    "egress": _add_egress,
    "tty": _set_tty,
    "verbose": _set_verbose,
}


def parse_user(value: str, rootfs: str) -> User:
    """`UID[:GID]`, or names of the root's own /etc/passwd and /etc/group. Without a group: the user's own, or the uid.

    The files are read by us, before the sandbox starts, and never through a symlink: a root made by somebody else
    can only make the lookup fail.
    """
    name, _, group = value.partition(":")
    uid = _number(name)
    entry = _lookup(rootfs + "/etc/passwd", name, uid)
    if uid is None:
        if entry is None:
            raise ConfigError(f"--user {value}: no user '{name}' in {rootfs.rstrip('/')}/etc/passwd")
        uid = int(entry[2])
    if group:
        gid = _number(group)
        if gid is None:
            line = _lookup(rootfs + "/etc/group", group, None)
            if line is None:
                raise ConfigError(f"--user {value}: no group '{group}' in {rootfs.rstrip('/')}/etc/group")
            gid = int(line[2])
    else:
        gid = int(entry[3]) if entry is not None else uid
    if not (0 <= uid < 0xFFFFFFFF and 0 <= gid < 0xFFFFFFFF):
        raise ConfigError(f"--user {value}: ids go from 0 to 4294967294")
    return User(uid, gid, (gid,))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _lookup(path: str, name: str, uid: int | None) -> list[str] | None:
    """The colon-separated line for a name (or a uid) whose id fields are numbers, or None."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    with open(fd, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(":")
            if len(fields) < 4 or _number(fields[2]) is None:
                continue
            if (fields[0] == name) if uid is None else (_number(fields[2]) == uid and _number(fields[3]) is not None):
                return fields
    return None
