"""The options of each verb as data: the one place where they are spelled.

Two parsers read it: cli/plain.py (no imports, for the command lines people type every day) and click (cli/command.py,
for help, errors and everything unusual). What a value means is sandbox/config.py's.
"""

from __future__ import annotations


class Option:
    """One option.

    kind: "value" (--x V, --x=V), "list" (a value, repeatable), "flag", or "optional" (--x or --x=V, never --x V).
    """

    __slots__ = ("help", "kind", "metavar", "name", "short")

    def __init__(self, name: str, kind: str, metavar: str, help: str, short: str = "") -> None:
        self.name = name
        self.kind = kind
        self.metavar = metavar
        self.help = help
        self.short = short

    @property
    def key(self) -> str:
        """The name in the dictionary that the parsers fill: fast_path for --fast-path."""
        return self.name.replace("-", "_")


RUN = (
    Option("rootfs", "value", "DIR", "Root directory of the sandbox, read-only below an overlay in memory. Default: /"),
    Option(
        "bind", "list", "SRC:DST[:ro|rw]", "Show a host file or directory inside; writes reach the host only with rw."
    ),
    Option("tmpfs", "list", "DST", "An empty directory in memory."),
    Option("cwd", "value", "DIR", "Working directory. Default: the caller's, or / with --rootfs."),
    Option("env", "list", "NAME=VALUE", "Set a variable; the rest of the environment is the caller's."),
    Option("hostname", "value", "NAME", "Host name inside. Default: the host's."),
    Option(
        "user",
        "value",
        "UID[:GID]",
        "Identity inside, by number or by name in the root's /etc/passwd. Default: the caller's.",
    ),
    Option("timeout", "value", "TIME", "End the whole tree after 2, 1.5s, 500ms, 5m, ...; exit status 124."),
    Option("pids", "value", "N", "Most processes and threads at a time; fork answers EAGAIN beyond. Default: 4096."),
    Option("net", "value", "none|host", "Network: loopback of its own (none), or the host's. Default: none."),
    Option(
        "egress",
        "list",
        "ADDR[/BITS][:PORT[-PORT]]",
        "With --net host: reach only this; [ADDR/BITS]:PORT for IPv6, any:PORT for all addresses.",
    ),
    Option("tty", "flag", "", "Give the program a terminal even if stdin or stdout is none.", "t"),
    Option(
        "trace", "optional", "FILE", "Print every system call like strace, with how it was answered. Default: stderr."
    ),
    Option("stats", "optional", "FILE", "Print calls by disposition, punts and time at the end. Default: stderr."),
    Option("changes", "optional", "FILE", "List what the run added (A), changed (C), deleted (D). Default: stderr."),
    Option("export", "value", "FILE", "Write what it changed as a tar archive: a layer of an OCI image."),
    Option(
        "platform",
        "value",
        "auto|seccomp|ptrace",
        "How calls are caught: notifications, or ptrace alone. Default: auto.",
    ),
    Option("fast-path", "value", "on|off", "Answer frequent calls in C. Default: on."),
    Option("verbose", "flag", "", "Say which engine is used and what was set up.", "v"),
)

DOCTOR = (Option("json", "flag", "", "Machine-readable."),)

INSTALL = (
    Option("engine", "value", "podman|containerd|crio|docker", "The engine that is to know us."),
    Option("config", "value", "FILE", "Its configuration, if it is not at the usual place."),
    Option("name", "value", "NAME", "What it calls the runtime. Default: pysentry."),
    Option("command", "value", "PATH", "The command that it runs. Default: this one."),
    Option("dry-run", "flag", "", "Only show what would change."),
)

SYSCALLS = (
    Option("disposition", "list", "host|fast|python|control|error", "Only calls answered this way."),
    Option("support", "list", "full|partial|stub", "Only calls this complete."),
    Option("json", "flag", "", "Machine-readable."),
)

# ---- verbs of an OCI runtime ---------------------------------------------------------------------------------------
# Everything that runc 1.1 to 1.5 knows is accepted; help "" marks what has no meaning here and is ignored.

GLOBAL = (
    Option("root", "value", "DIR", "Where containers are kept. Default: /run/pysentry, or $XDG_RUNTIME_DIR/pysentry."),
    Option("log", "value", "FILE", "Append errors to a file, too."),
    Option("log-format", "value", "text|json", "How lines in the log look. Default: text."),
    Option("debug", "flag", "", "Log warnings and what is done, too."),
    Option("systemd-cgroup", "flag", "", "cgroupsPath is slice:prefix:name."),
    Option("cgroup-manager", "value", "cgroupfs|systemd|disabled", "disabled: no cgroup is made. Default: cgroupfs."),
    Option("rootless", "value", "auto|true|false", "Go on where cgroups are not permitted; auto: unless root."),
    Option("platform", "value", "auto|seccomp|ptrace", "How calls are caught. Default: auto."),
    Option("network", "value", "auto|none|host", "Network of containers. Default: as config.json's namespaces say."),
    Option("overlay", "flag", "", "An overlay in memory over each root file system instead of changing it."),
    Option("version", "flag", "", "Print the version and leave.", "v"),
)

_CREATION = (
    Option("bundle", "value", "DIR", "The bundle: config.json and the root file system. Default: .", "b"),
    Option("console-socket", "value", "PATH", "Send the terminal's master to this AF_UNIX socket."),
    Option("pid-file", "value", "FILE", "Write the container's pid there."),
    Option("pidfd-socket", "value", "PATH", "Send a pidfd of the container to this AF_UNIX socket."),
    Option("preserve-fds", "value", "N", "Give the program descriptors 3 to 3+N-1, too."),
    Option("no-pivot", "flag", "", ""),
    Option("no-new-keyring", "flag", "", ""),
)

OCI_RUN = (
    *_CREATION,
    Option("detach", "flag", "", "Leave the container running.", "d"),
    Option("keep", "flag", "", "Do not delete the container at its end."),
    Option("no-subreaper", "flag", "", ""),
)

EXEC = (
    Option("process", "value", "FILE", "The process as JSON, instead of the options and words here.", "p"),
    Option("cwd", "value", "DIR", "Working directory. Default: the container's."),
    Option("env", "list", "NAME=VALUE", "Set a variable.", "e"),
    Option("tty", "flag", "", "Give the program a terminal.", "t"),
    Option("user", "value", "UID[:GID]", "Identity. Default: the container's.", "u"),
    Option("additional-gids", "list", "GID", "One more group.", "g"),
    Option("cap", "list", "CAP_NAME", "One more capability.", "c"),
    Option("no-new-privs", "flag", "", "Set no_new_privs."),
    Option("detach", "flag", "", "Leave the program running.", "d"),
    Option("pid-file", "value", "FILE", "Write the pid of the process that stands for the program there."),
    Option("console-socket", "value", "PATH", "Send the terminal's master to this AF_UNIX socket."),
    Option("pidfd-socket", "value", "PATH", "Send a pidfd of that process to this AF_UNIX socket."),
    Option("preserve-fds", "value", "N", "Give the program descriptors 3 to 3+N-1, too."),
    Option("ignore-paused", "flag", "", "Also in a paused container: the program starts when it is resumed."),
    Option("process-label", "value", "LABEL", ""),
    Option("apparmor", "value", "PROFILE", ""),
    Option("cgroup", "list", "PATH", "Only /, the container's own, is there."),
)

UPDATE = (
    Option("resources", "value", "FILE", "The resources as JSON; - is stdin. Other options are not used then.", "r"),
    Option("blkio-weight", "value", "N", "Weight of block I/O, 10 to 1000."),
    Option("cpu-period", "value", "US", "CPU period in microseconds."),
    Option("cpu-quota", "value", "US", "CPU time in each period in microseconds."),
    Option("cpu-burst", "value", "US", "CPU time that may be saved up, in microseconds."),
    Option("cpu-share", "value", "N", "CPU shares."),
    Option("cpu-rt-period", "value", "US", "Realtime period in microseconds."),
    Option("cpu-rt-runtime", "value", "US", "Realtime in each period in microseconds."),
    Option("cpu-idle", "value", "0|1", "SCHED_IDLE for the whole cgroup."),
    Option("cpuset-cpus", "value", "LIST", "CPUs that may be used."),
    Option("cpuset-mems", "value", "LIST", "Memory nodes that may be used."),
    Option("memory", "value", "BYTES", "Memory limit."),
    Option("memory-reservation", "value", "BYTES", "Memory that is left when the host runs short."),
    Option("memory-swap", "value", "BYTES", "Limit of memory and swap together."),
    Option("pids-limit", "value", "N", "Most processes and threads."),
    Option("kernel-memory", "value", "BYTES", ""),
    Option("kernel-memory-tcp", "value", "BYTES", ""),
    Option("l3-cache-schema", "value", "SCHEMA", ""),
    Option("mem-bw-schema", "value", "SCHEMA", ""),
)

_CHECKPOINT = (
    *(Option(name, "value", "V", "") for name in ("image-path", "work-path", "parent-path", "status-fd")),
    *(Option(name, "value", "V", "") for name in ("page-server", "manage-cgroups-mode", "lsm-profile")),
    *(Option(name, "flag", "", "") for name in ("leave-running", "tcp-established", "tcp-skip-in-flight")),
    *(Option(name, "flag", "", "") for name in ("link-remap", "ext-unix-sk", "shell-job", "lazy-pages")),
    *(Option(name, "flag", "", "") for name in ("file-locks", "pre-dump", "auto-dedup")),
    Option("lsm-mount-context", "value", "V", ""),
    Option("empty-ns", "list", "V", ""),
)


class Verb:
    """One verb of an OCI runtime.

    words: (least, most) number of words after the options; most None: any. metavar: what they are.
    stops: options end at the first word, as what follows has options of its own.
    """

    __slots__ = ("help", "metavar", "options", "stops", "words")

    def __init__(
        self,
        options: tuple[Option, ...],
        help: str,
        metavar: str = "<container-id>",
        words: tuple[int, int | None] = (1, 1),
        stops: bool = False,
    ) -> None:
        self.options = options
        self.help = help
        self.metavar = metavar
        self.words = words
        self.stops = stops


_FORMAT = Option("format", "value", "table|json", "Default: table.", "f")

OCI = {
    "create": Verb(_CREATION, "Create a container: everything but the start of its program."),
    "start": Verb((), "Start the program of a created container."),
    "run": Verb(OCI_RUN, "Create and start a container."),
    "state": Verb((), "Print the state of a container as JSON."),
    "kill": Verb(
        (Option("all", "flag", "", "To every process, not only to the first.", "a"),),
        "Send a signal to a container. Default: TERM.",
        "<container-id> [SIGNAL]",
        (1, 2),
    ),
    "delete": Verb(
        (Option("force", "flag", "", "Kill it first if it runs; no error if there is none.", "f"),),
        "Remove a container.",
    ),
    "exec": Verb(EXEC, "Run one more program in a container.", "<container-id> [CMD [ARGS]...]", (1, None), stops=True),
    "list": Verb((_FORMAT, Option("quiet", "flag", "", "Only ids.", "q")), "List containers.", "", (0, 0)),
    "ps": Verb((_FORMAT,), "List the processes of a container.", "<container-id> [PS OPTIONS]", (1, None), stops=True),
    "events": Verb(
        (
            Option("stats", "flag", "", "Print statistics once."),
            Option("interval", "value", "TIME", "Between statistics. Default: 5s."),
        ),
        "Print events and statistics of a container as JSON.",
    ),
    "update": Verb(UPDATE, "Change the resources of a container."),
    "pause": Verb((), "Stop all processes of a container."),
    "resume": Verb((), "Let all processes of a container go on."),
    "spec": Verb(
        (
            Option("bundle", "value", "DIR", "Where to write it. Default: .", "b"),
            Option("rootless", "flag", "", "For an unprivileged user."),
        ),
        "Write a config.json to start from.",
        "",
        (0, 0),
    ),
    "features": Verb((), "Print what this runtime can do as JSON.", "", (0, 0)),
    "metrics": Verb(
        (Option("root", "value", "DIR", "Where containers are kept."),),
        "Print Prometheus text for all containers.",
        "",
        (0, 0),
    ),
    "checkpoint": Verb(_CHECKPOINT, "Not supported."),
    "restore": Verb((*_CHECKPOINT, *OCI_RUN), "Not supported."),
}
