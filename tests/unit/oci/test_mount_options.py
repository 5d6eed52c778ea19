"""Mount options: every one that runc knows is taken, ignored or refused on purpose."""

from __future__ import annotations

import pytest

from pysentry.oci import mount_options
from pysentry.oci.errors import SpecError
from pysentry.oci.mount_options import KNOWN, MountOptions, read_options

# What `runc features` lists, 1.1 and later.
_OF_RUNC = """
    async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec
    noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime
    relatime remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro
    rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave
    strictatime suid symfollow sync tmpcopyup unbindable
"""
OF_RUNC = set(_OF_RUNC.split())


def read(*options: str, kind: str = "tmpfs") -> MountOptions:
    return read_options(options, kind, "mounts[2]")


def complaint(*options: str, kind: str = "tmpfs") -> str:
    with pytest.raises(SpecError) as caught:
        read(*options, kind=kind)
    return str(caught.value)


def test_every_option_of_runc_has_its_place() -> None:
    refused = mount_options._REFUSED - {"idmap", "ridmap"}
    assert OF_RUNC - set(KNOWN) == refused
    assert set(KNOWN) <= OF_RUNC
    for option in KNOWN:
        read(option)
    for option in refused:
        assert complaint(option) == f"mounts[2].options[0]: mount option {option} is not supported"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("ro nosuid nodev noexec", "ro nosuid nodev noexec"),
        ("ro rw", ""),
        ("rw ro", "ro"),
        ("nosuid noexec nodev suid exec dev", ""),
        ("rro rbind", "rro rbind"),
        ("rro rrw ro", "ro"),
        ("private rshared slave", "slave"),
        ("defaults async lazytime silent", ""),
        ("noatime nodiratime atime", "nodiratime"),
        ("tmpcopyup", "tmpcopyup"),
        ("nosymfollow rnosymfollow symfollow", "rnosymfollow"),
    ],
)
def test_later_words_win(options: str, words: str) -> None:
    found = read(*options.split())
    assert found.words == set(words.split())
    assert (found.data, found.warnings) == ({}, [])


def test_values() -> None:
    found = read("size=64k", "mode=1777", "uid=5", "gid=6", "nr_inodes=10", "size=1m", "huge=never", "noswap")
    assert found.data == {"size": "1m", "mode": "1777", "uid": "5", "gid": "6", "nr_inodes": "10"}
    assert read("nr_blocks=16").data == {"nr_blocks": "16"}
    assert read("newinstance", "ptmxmode=0666", "gid=5", kind="devpts").data == {"ptmxmode": "0666", "gid": "5"}
    assert read("hidepid=0", kind="proc").data == {}


def test_what_is_not_known() -> None:
    assert complaint("ro", "frobnicate") == (
        "mounts[2].options[1]: mount option 'frobnicate' is not supported for tmpfs"
    )
    assert "hidepid=2" in complaint("hidepid=2", kind="proc")  # it would hide nothing
    assert "subset=pid" in complaint("subset=pid", kind="proc")
    assert complaint("size=1m", kind="sysfs")
    assert read("name=systemd", "cpu,cpuacct", kind="cgroup").data == {}


def test_what_has_no_effect_is_told() -> None:
    assert read("size=1m", "rbind", kind="bind").warnings == [
        "mounts[2].options[0]: 'size=1m' has no effect on a bind mount"
    ]
    assert read("sync", "dirsync").warnings == [
        "mounts[2].options[0]: sync has no effect",
        "mounts[2].options[1]: dirsync has no effect",
    ]
    assert read('context="system_u:object_r:x"').warnings == ["mounts[2].options[0]: SELinux labels are ignored"]
