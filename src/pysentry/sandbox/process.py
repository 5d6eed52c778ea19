"""What one program in the sandbox is started as: the first one, and those that `exec` adds later.

Owns the description only. Identity is the sandbox's own (kernel/credentials.py); limits are the virtual ones.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ALL_CAPABILITIES = (1 << 41) - 1


class Capabilities:
    """The five sets of capabilities(7), as bit masks by capability number."""

    __slots__ = ("ambient", "bounding", "effective", "inheritable", "permitted")

    def __init__(
        self, effective: int = 0, permitted: int = 0, inheritable: int = 0, bounding: int = 0, ambient: int = 0
    ) -> None:
        self.effective = effective
        self.permitted = permitted
        self.inheritable = inheritable
        self.bounding = bounding
        self.ambient = ambient


class ProcessSpec:
    """One program. argv and env as execve(2) takes them (str with surrogateescape); cwd absolute, inside.

    program: what is executed; "": argv's first word. umask: None: 022. caps: None: all for uid 0, none for others.
    rlimits: {RLIMIT_*: (soft, hard)}. oom_score_adj: None: as it is. seccomp: a compiled BPF program that the host
    kernel applies to the new process from its exec on, on top of ours; None: that of the container's first program, if
    it has one. terminal: a pty of its own is its 0, 1, 2 and its controlling terminal. console_size: (rows, columns) or
    None. is_relayed: between that and a terminal or file of our caller.
    """

    __slots__ = (
        "argv",
        "caps",
        "console_size",
        "cwd",
        "env",
        "gid",
        "groups",
        "is_relayed",
        "no_new_privs",
        "oom_score_adj",
        "program",
        "rlimits",
        "seccomp",
        "terminal",
        "uid",
        "umask",
    )

    def __init__(self, argv: list[str], env: Mapping[str, str], cwd: str = "/") -> None:
        self.argv = argv
        self.program = ""
        self.env = dict(env)
        self.cwd = cwd
        self.uid = 0
        self.gid = 0
        self.groups: tuple[int, ...] = ()
        self.umask: int | None = None
        self.caps: Capabilities | None = None
        self.rlimits: dict[int, tuple[int, int]] = {}
        self.no_new_privs = False
        self.oom_score_adj: int | None = None
        self.seccomp: bytes | None = None
        self.terminal = False
        self.is_relayed = False
        self.console_size: tuple[int, int] | None = None

    def to_document(self) -> dict[str, object]:
        """The same as a JSON object: what the `exec` request of the control socket carries."""
        document: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        caps = self.caps
        document["caps"] = None if caps is None else {name: getattr(caps, name) for name in caps.__slots__}
        document["rlimits"] = {str(number): list(limits) for number, limits in self.rlimits.items()}
        document["seccomp"] = None if self.seccomp is None else self.seccomp.hex()
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> ProcessSpec:
        """From to_document(): only what came from ourselves, so types are not checked again."""
        values: dict[str, Any] = dict(document)
        spec = cls(values["argv"], values["env"], values["cwd"])
        for name in cls.__slots__:
            setattr(spec, name, values[name])
        spec.groups = tuple(values["groups"])
        if values["caps"] is not None:
            spec.caps = Capabilities(**values["caps"])
        spec.rlimits = {int(number): (soft, hard) for number, (soft, hard) in values["rlimits"].items()}
        spec.seccomp = None if values["seccomp"] is None else bytes.fromhex(values["seccomp"])
        spec.console_size = None if values["console_size"] is None else tuple(values["console_size"])
        return spec
