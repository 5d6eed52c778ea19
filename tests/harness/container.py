"""Runs a program in a container's file system, without the OCI verbs: a RunConfig with mounts, and launch().

Owns the small driver (this module as a program: the configuration as JSON in argv[1]) and the busybox root that tests
of mounts use.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness import checkout
from tests.harness.patience import PATIENCE_S

BUSYBOX = Path("/usr/bin/busybox")  # static in Debian


def default_mounts() -> list[dict[str, Any]]:
    """What `runc spec` mounts, but for the cgroup."""
    return [
        {"kind": "proc", "target": "/proc"},
        {"kind": "dev", "target": "/dev", "words": ["nosuid"], "options": {"mode": "755", "size": "65536k"}},
        {
            "kind": "devpts",
            "target": "/dev/pts",
            "words": ["nosuid", "noexec"],
            "options": {"ptmxmode": "0666", "mode": "0620", "gid": "5"},
        },
        {
            "kind": "shm",
            "target": "/dev/shm",
            "words": ["nosuid", "noexec", "nodev"],
            "options": {"mode": "1777", "size": "65536k"},
        },
        {"kind": "mqueue", "target": "/dev/mqueue", "words": ["nosuid", "noexec", "nodev"]},
        {"kind": "sysfs", "target": "/sys", "words": ["nosuid", "noexec", "nodev", "ro"]},
    ]


def busybox_root(directory: Path) -> Path:
    """A root file system with nothing but busybox."""
    for name in ("bin", "etc", "root", "tmp"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, directory / "bin" / "busybox")
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        if name != "busybox":
            (directory / "bin" / name).symlink_to("busybox")
    (directory / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
    (directory / "tmp").chmod(0o1777)
    return directory


@dataclass
class Container:
    """One container to be run. The fields beyond rootfs are RunConfig's, mounts as keyword arguments of MountRow."""

    rootfs: Path
    mounts: list[dict[str, Any]] = field(default_factory=default_mounts)
    root_writable: bool = True
    overlay: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    unprivileged: bool = False
    report: Path | None = None

    def command(self, *argv: str) -> list[str]:
        settings = {
            "argv": argv,
            "rootfs": str(self.rootfs),
            "mounts": self.mounts,
            "root_writable": self.root_writable,
            "overlay": self.overlay,
            "options": self.options,
            "report": None if self.report is None else str(self.report),
        }
        return [sys.executable, "-m", "tests.harness.container", json.dumps(settings)]

    def start(self, *argv: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command(*argv), text=True, **self._as(), **options)

    def run(self, *argv: str, timeout_s: float = PATIENCE_S, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs it to its end; the report must count no internal error."""
        command = self.command(*argv)
        done = subprocess.run(
            command, text=True, capture_output=True, timeout=timeout_s, input=stdin, check=False, **self._as()
        )
        if self.report is not None and self.report.exists() and self.report.stat().st_size:
            counted = json.loads(self.report.read_text())
            assert counted.get("internal_errors") == 0, (counted, done.stderr)
        return done

    def shell(self, script: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run("/bin/sh", "-c", script, **options)

    def _as(self) -> dict[str, Any]:
        return {"cwd": checkout.ROOT, **(checkout.as_unprivileged() if self.unprivileged else {})}


def _main() -> None:
    from pysentry.sandbox.config import MountRow, RunConfig, User
    from pysentry.sandbox.errors import SandboxError
    from pysentry.sandbox.launcher import launch

    given = json.loads(sys.argv[1])
    config = RunConfig(list(given["argv"]))
    config.env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    config.rootfs = given["rootfs"]
    config.user = User(0, 0, (0,))
    config.hostname = "container"
    config.mounts = [MountRow(**row) for row in given["mounts"]]
    config.root_writable, config.overlay = given["root_writable"], given["overlay"]
    config.report_path = given["report"]
    for name, value in given["options"].items():
        setattr(config, name, User(*value) if name == "user" else value)
    try:
        status = launch(config)
    except SandboxError as error:
        print(f"pysentry: {error}", file=sys.stderr)
        status = error.status
    os._exit(status)


if __name__ == "__main__":
    _main()
