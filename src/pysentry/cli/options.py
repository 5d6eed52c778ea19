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
    Option("tty", "flag", "", "Give the program a terminal even if stdin or stdout is none.", "t"),
    Option(
        "trace", "optional", "FILE", "Print every system call like strace, with how it was answered. Default: stderr."
    ),
    Option("stats", "optional", "FILE", "Print calls by disposition, punts and time at the end. Default: stderr."),
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

SYSCALLS = (
    Option("disposition", "list", "host|fast|python|control|error", "Only calls answered this way."),
    Option("support", "list", "full|partial|stub", "Only calls this complete."),
    Option("json", "flag", "", "Machine-readable."),
)
