"""Debian's own tools change a Debian root in place, and the host finds what they did: owners, modes, links."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.harness.container import Container
from tests.harness.programs import need
from tests.harness.runner import session_directory

SCRIPT = r"""
set -e
useradd --create-home --uid 1234 bob
mkdir -p /tmp/p/DEBIAN /tmp/p/usr/bin /tmp/p/var/lib/own
printf 'Package: own\nVersion: 1\nArchitecture: all\nMaintainer: t <t@t>\nDescription: test\n' > /tmp/p/DEBIAN/control
printf '#!/bin/sh\nset -e\nchown bob:bob /var/lib/own\n' > /tmp/p/DEBIAN/postinst
chmod 755 /tmp/p/DEBIAN/postinst
cp /bin/true /tmp/p/usr/bin/own
chmod 4755 /tmp/p/usr/bin/own
ln /tmp/p/usr/bin/own /tmp/p/usr/bin/own-hard
cp /bin/true /tmp/p/usr/bin/own-too
ln -s own /tmp/p/usr/bin/own-link
dpkg-deb --build /tmp/p /tmp/own.deb > /dev/null
dpkg --install /tmp/own.deb > /dev/null
own && own-too && own-link && own-hard
dpkg --verify
dpkg-divert --add --rename --divert /usr/bin/own.real /usr/bin/own > /dev/null
dpkg-statoverride --update --add bob bob 0700 /usr/bin/own-too
su bob -c 'id -u; umask 027; echo mine > ~/file'
apt-get check > /dev/null
stat -c '%n %A %U %h' /usr/bin/own.real /usr/bin/own-hard /usr/bin/own-too /usr/bin/own-link /var/lib/own /home/bob/file
"""


@pytest.fixture(scope="module")
def debian() -> Path:
    if os.geteuid() != 0:
        pytest.skip("mmdebstrap makes device nodes and owners: root")
    root = session_directory() / "debian"
    command = [need("mmdebstrap", "mmdebstrap"), "--variant=minbase", "bookworm", root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        pytest.skip(f"needs a mirror of Debian: {done.stderr[-300:]}")
    return root


def test_dpkg_and_useradd(debian: Path, tmp_path: Path) -> None:
    container = Container(debian, report=tmp_path / "report")
    done = container.run("/bin/bash", "-c", SCRIPT, timeout_s=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-7:] == [
        "1234",
        "/usr/bin/own.real -rwsr-xr-x root 2",
        "/usr/bin/own-hard -rwsr-xr-x root 2",
        "/usr/bin/own-too -rwx------ bob 1",
        "/usr/bin/own-link lrwxrwxrwx root 1",
        "/var/lib/own drwxr-xr-x bob 2",
        "/home/bob/file -rw-r----- bob 1",
    ]
    assert (debian / "var/lib/own").stat().st_uid == 1234
    own = (debian / "usr/bin/own.real").stat()
    assert (stat.S_IMODE(own.st_mode), own.st_uid) == (0o4755, 0)
    assert (debian / "home/bob/file").read_text() == "mine\n"
