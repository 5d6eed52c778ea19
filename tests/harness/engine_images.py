"""What engines run, made without a network: a busybox root, a pause program, as archives that podman and ctr load."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.harness.programs import made_once, need

PAUSE = """
#include <signal.h>
#include <unistd.h>
#include <sys/wait.h>
static void end(int number) { _exit(number == SIGTERM || number == SIGINT ? 0 : 1); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void)
{
    signal(SIGTERM, end);
    signal(SIGINT, end);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
"""
PASSWD = "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/tmp:/bin/sh\n"
GROUP = "root:x:0:\nguest:x:1000:\nextra:x:1001:guest\n"

BUSYBOX = "localhost/bb:latest"
PAUSE_IMAGE = "localhost/pause:latest"
NO_COMMAND = "localhost/nothing:latest"


def root_filesystem() -> Path:
    """A directory with busybox and its applets, /etc/passwd, /tmp; shared by the session, not to be written to."""

    def make(directory: Path) -> None:
        for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root", "run", "var"):
            (directory / name).mkdir()
        (directory / "tmp").chmod(0o1777)
        # An applet is chosen by argv[0]; a program named busybox would look for it in argv[1].
        binary = directory / "bin" / "applets"
        shutil.copy(need("busybox", "busybox-static"), binary)
        for name in _applets(binary):
            if name != "busybox":
                (directory / "bin" / name).symlink_to("applets")
        (directory / "etc" / "passwd").write_text(PASSWD)
        (directory / "etc" / "group").write_text(GROUP)
        (directory / "etc" / "release").write_text("busybox root of the tests\n")

    return made_once("busybox-root", make)


def _applets(binary: Path) -> list[str]:
    done = subprocess.run(["busybox", "--list"], executable=binary, capture_output=True, text=True, check=True)
    return done.stdout.split()


def pause_root() -> Path:
    def make(directory: Path) -> None:
        source = directory / "pause.c"
        source.write_text(PAUSE)
        subprocess.run([need("gcc", "gcc"), "-static", "-O1", "-s", "-o", directory / "pause", source], check=True)
        source.unlink()

    return made_once("pause-root", make)


def archive() -> Path:
    """A docker archive (`podman load`, `ctr images import`) of all images."""
    return archive_of(
        "engine-images",
        (BUSYBOX, root_filesystem(), {"Cmd": ["sh"], "Env": ["PATH=/bin", "FROM_IMAGE=yes"]}),
        (PAUSE_IMAGE, pause_root(), {"Entrypoint": ["/pause"]}),
        (NO_COMMAND, root_filesystem(), {}),
    )


def archive_of(name: str, *images: tuple[str, Path, dict[str, object]]) -> Path:
    """Such an archive of (reference, root, config); made once in a session, by its name."""

    def make(directory: Path) -> None:
        manifest = []
        with tarfile.open(directory / "images.tar", "w") as tar:
            written = set()
            for reference, root, config in images:
                layer = _layer(root)
                digest = hashlib.sha256(layer).hexdigest()
                described = {
                    "architecture": "amd64",
                    "os": "linux",
                    "config": config,
                    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
                    "history": [{"created_by": "tests"}],
                }
                data = json.dumps(described).encode()
                names = f"{hashlib.sha256(data).hexdigest()}.json", f"{digest}/layer.tar"
                for name, content in zip(names, (data, layer), strict=True):
                    if name not in written:
                        written.add(name)
                        entry = tarfile.TarInfo(name)
                        entry.size = len(content)
                        tar.addfile(entry, io.BytesIO(content))
                manifest.append({"Config": names[0], "RepoTags": [reference], "Layers": [names[1]]})
            data = json.dumps(manifest).encode()
            entry = tarfile.TarInfo("manifest.json")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

    return made_once(name, make) / "images.tar"


def _layer(root: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in sorted(os.listdir(root)):
            tar.add(root / name, name, filter=_owned_by_root)
    return buffer.getvalue()


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    return entry
