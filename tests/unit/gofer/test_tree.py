"""Which host mounts below a tree are views of the kernel, to be covered."""

from __future__ import annotations

from pathlib import Path

from gofer.tree import Tree, kernel_mounts, mounts_of_files

MOUNTINFO = rb"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw,relatime - proc proc rw
24 23 0:40 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw
25 22 0:6 / /dev rw shared:3 - devtmpfs devtmpfs rw
26 25 0:24 / /dev/pts rw shared:4 master:1 - devpts devpts rw
27 22 0:30 / /run rw - tmpfs tmpfs rw
28 27 0:4 net:[4026532] /run/netns/with\040space rw - nsfs nsfs rw
29 22 0:31 / /processor rw - sysfs sysfs rw
"""


def test_kernel_mounts_below_the_root() -> None:
    assert kernel_mounts(Tree("/"), MOUNTINFO) == [b"dev", b"proc", b"processor", b"run/netns/with space"]


def test_kernel_mounts_below_a_directory() -> None:
    assert kernel_mounts(Tree("/run"), MOUNTINFO) == [b"netns/with space"]
    assert kernel_mounts(Tree("/usr"), MOUNTINFO) == []


def test_a_tree_that_is_one_itself_was_asked_for() -> None:
    assert kernel_mounts(Tree("/proc"), MOUNTINFO) == []


def test_symlinks_in_the_trees_path_are_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/run")
    assert kernel_mounts(Tree(str(tmp_path / "link")), MOUNTINFO) == [b"netns/with space"]


def test_mounts_of_files_below_a_directory() -> None:
    assert mounts_of_files("/", MOUNTINFO) == [b"run"]
    more = MOUNTINFO + b"30 27 0:5 / /run/a/b rw - tmpfs b rw\n31 27 0:6 / /run/a rw - tmpfs a rw\n"
    assert mounts_of_files("/run", more) == [b"a", b"a/b"]
    assert mounts_of_files("/run/a/b", more) == []
