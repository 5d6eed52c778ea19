"""Files of a container: its root, every kind of mount, masks, devices, settings; what reaches the host and what not."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.bundles import Config, make_rootfs
from tests.harness.patience import wait_until
from tests.harness.raw_runtime import RawRuntime

Change = Callable[[Config], None]
ALL_FILE_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP", "SETUID", "SETGID"]


@pytest.fixture
def root(raw: RawRuntime, tmp_path: Path) -> Path:
    """A root file system of the test's own."""
    raw.rootfs = make_rootfs(tmp_path / "own")
    (raw.rootfs / "tmp").chmod(0o1777)
    return raw.rootfs


def mount(destination: str, kind: str, source: str | Path, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": str(source), "options": list(options)}


def bind(source: Path, destination: str, *options: str) -> dict[str, Any]:
    return mount(destination, "bind", source, "rbind", *options)


def with_mounts(*mounts: dict[str, Any], **linux: object) -> Change:
    """config.json with more mounts, and fields of `linux`."""

    def change(document: Config) -> None:
        document["mounts"].extend(mounts)
        document["linux"].update(linux)
        capabilities = [f"CAP_{name}" for name in ALL_FILE_CAPABILITIES]
        document["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), capabilities)

    return change


def shell(raw: RawRuntime, script: str, change: Change | None = None) -> list[str]:
    """Lines that a script writes in a container; its errors are among them."""
    container = raw.start("sh", "-c", f"exec 2>&1; {script}", change=change or with_mounts())
    container.wait()
    lines = container.output.read_text().splitlines()
    container.end()
    return lines


# ---- the root in place --------------------------------------------------------------------------------------------


def test_owners_modes_and_links_reach_the_host(raw: RawRuntime, root: Path) -> None:
    script = """
        cd /tmp; umask 022; echo text > file; chown 33:34 file; chmod 6751 file; ln file other; ln -s file link
        chown -h 5:6 link; mkdir -m 2770 dir; chown 7:8 dir; mkfifo -m 640 fifo; mknod white c 0 0; mv other dir/moved
        stat -c '%n %A %u:%g %h %s' file link dir fifo white dir/moved; cat fifo & echo through > fifo; wait"""
    assert shell(raw, script) == [
        "file -rwsr-s--x 33:34 2 5",
        "link lrwxrwxrwx 5:6 1 4",
        "dir drwxrws--- 7:8 2 4096",
        "fifo prw-r----- 0:0 1 0",
        "white crw-r--r-- 0:0 1 0",
        "dir/moved -rwsr-s--x 33:34 2 5",
        "through",
    ]
    found = (root / "tmp/file").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), found.st_nlink) == (33, 34, 0o6751, 2)
    assert (root / "tmp/link").lstat().st_uid == 5
    assert stat.S_IMODE((root / "tmp/dir").stat().st_mode) == 0o2770
    assert stat.S_ISFIFO((root / "tmp/fifo").stat().st_mode)
    assert (root / "tmp/white").stat().st_rdev == 0


def test_a_program_that_is_no_root_owns_what_it_makes(raw: RawRuntime, root: Path) -> None:
    def change(document: Config) -> None:
        with_mounts()(document)
        document["process"]["user"] = {"uid": 1000, "gid": 1001, "umask": 0o027}
        document["process"]["capabilities"] = {}

    lines = shell(raw, "echo x > /tmp/mine; mkdir /tmp/d; stat -c %A:%u:%g /tmp/mine /tmp/d; echo x > /etc/no", change)
    assert lines[:2] == ["-rw-r-----:1000:1001", "drwxr-x---:1000:1001"]
    assert "ermission denied" in lines[2]
    assert (root / "tmp/mine").stat().st_uid == 1000


def test_a_read_only_root(raw: RawRuntime, root: Path) -> None:
    def change(document: Config) -> None:
        with_mounts(mount("/made/by/mount", "tmpfs", "tmpfs"))(document)
        document["root"]["readonly"] = True

    lines = shell(raw, "echo x > /file; mkdir /d; echo y > /made/by/mount/z && cat /made/by/mount/z", change)
    assert len(lines) == 3
    assert all("ead-only" in line for line in lines[:2])
    assert lines[2] == "y"
    assert not (root / "file").exists()


def test_ids_are_mapped(raw: RawRuntime, root: Path) -> None:
    if not raw.is_ours:
        pytest.skip("needs the bundle where the mapped root may go: a matter of the host's directories")
    for path in [root, *root.rglob("*")]:
        os.lchown(path, 100000, 100000)
    ranges = [{"containerID": 0, "hostID": 100000, "size": 2000}]

    def change(document: Config) -> None:
        with_mounts()(document)
        document["linux"] |= {"uidMappings": ranges, "gidMappings": ranges}
        document["linux"]["namespaces"].append({"type": "user"})

    script = "stat -c %u:%g /bin; echo > /tmp/f; chown 7:8 /tmp/f; stat -c %u:%g /tmp/f; chown 2000 /tmp/f"
    lines = shell(raw, script, change)
    assert lines[:2] == ["0:0", "7:8"]
    assert "nvalid argument" in lines[2]
    assert ((root / "tmp/f").stat().st_uid, (root / "tmp/f").stat().st_gid) == (100007, 100008)


def test_what_the_host_puts_into_the_root_is_seen(raw: RawRuntime, root: Path) -> None:
    script = "cd /tmp; ls; cat here; echo up; until [ -e new ]; do :; done; cat new"
    script += "; until grep -q 2 here; do :; done; ls"
    (root / "tmp/here").write_text("1\n")
    container = raw.start("sh", "-c", script, change=with_mounts())
    container.wait_output("up")
    (root / "tmp/other").write_text("2\n")
    os.rename(root / "tmp/other", root / "tmp/here")
    (root / "tmp/partial").write_text("whole\n")
    os.rename(root / "tmp/partial", root / "tmp/new")
    assert container.wait() == ("exited", 0)
    assert container.output.read_text().split() == ["here", "1", "up", "whole", "here", "new"]


# ---- binds ----------------------------------------------------------------------------------------------------------


def test_binds_and_their_options(raw: RawRuntime, root: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "sub").mkdir(parents=True)
    (shared / "program").write_text("#!/bin/sh\necho ran\n")
    (shared / "program").chmod(0o755)
    mounts = bind(shared, "/rw"), bind(shared, "/ro", "ro", "noexec", "nosuid", "nodev"), bind(shared / "sub", "/a/b/c")
    script = "/rw/program; /ro/program; echo $?; echo x > /ro/file; echo x > /rw/file; cat /ro/file"
    script += "; grep ' /ro ' /proc/mounts"
    lines = shell(raw, script, with_mounts(*mounts))
    assert lines[0] == "ran"
    assert "ermission denied" in lines[1]
    assert lines[2] == "126"
    assert "ead-only" in lines[3]
    assert lines[4] == "x"
    assert lines[5].split()[3].split(",")[:4] == ["ro", "nosuid", "nodev", "noexec"]
    assert (shared / "file").read_text() == "x\n"
    assert (root / "a/b/c").is_dir()  # made in the root, as engines expect it


def test_the_mount_table_says_what_of_the_host_a_bind_shows(raw: RawRuntime, root: Path, tmp_path: Path) -> None:
    """Programs learn the name of their container from there: it is in the paths of what engines bind."""
    shared = tmp_path / "with space"
    (shared / "sub").mkdir(parents=True)
    (shared / "file").touch()
    mounts = bind(shared, "/dir"), mount("/file", "", shared / "file", "bind"), mount("/own", "tmpfs", "tmpfs")
    script = "mkdir /own/in /again; mount --bind /dir/sub /again; cat /proc/self/mountinfo"

    def change(document: Config) -> None:
        with_mounts(*mounts)(document)
        document["process"]["capabilities"]["effective"].append("CAP_SYS_ADMIN")

    rows = [line.split() for line in shell(raw, script, change)]
    table = {row[4]: row for row in rows}
    escaped = str(shared).replace(" ", "\\040")
    assert table["/dir"][3] == escaped
    assert table["/file"][3] == f"{escaped}/file"
    assert table["/again"][3] == f"{escaped}/sub"
    assert [table[path][3] for path in ("/", "/own", "/proc")] == ["/", "/", "/"]
    host = {f"{os.major(found)}:{os.minor(found)}" for found in (os.stat(path).st_dev for path in (shared, "/proc"))}
    own = {table[path][2] for path in ("/own", "/proc", "/dev")}
    assert len(own) == 3
    assert not own & host  # else a file of the one could pass for one of the other


def test_read_only_with_or_without_what_is_mounted_below(raw: RawRuntime, root: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "below").mkdir(parents=True)
    (shared / "plain").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", shared / "below"], check=True)
    try:
        (shared / "below/deep").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", shared / "below/deep"], check=True)
        script = """
            for at in /ro /rro; do
                cd $at; echo $at; touch new plain/new 2> /dev/null && echo written
                echo text > below/file; echo text > below/deep/file; (exec 3<> below/file; chmod 640 below/file)
                mv below/file below/moved && mkdir below/dir && ln below/moved below/link && truncate -s 2 below/link
                mv below/link plain; grep -o " $at/*[a-z/]* r[ow]," /proc/self/mountinfo
            done 2>&1 | sed 's/.*ead-only.*/ro/'"""
        mounts = bind(shared, "/ro", "ro"), bind(shared, "/rro", "ro", "rro")
        lines = shell(raw, script, with_mounts(*mounts))
        writable, all_read_only = lines[: lines.index("/rro")], lines[lines.index("/rro") :]
        assert "written" not in lines
        assert writable[:3] == ["/ro", "ro", " /ro ro,"]
        assert " /ro/below rw," in writable
        assert set(all_read_only) >= {"/rro", "ro", " /rro ro,"}
        assert " /rro/below rw," not in all_read_only
        assert (shared / "below/moved").read_text() == "te"
        assert stat.S_IMODE((shared / "below/moved").stat().st_mode) == 0o640
        assert (shared / "below/deep/file").read_text() == "text\n"
        assert os.listdir(shared / "plain") == []
    finally:
        subprocess.run(["umount", "-R", "-l", shared / "below"], check=True)


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_kernel_file_systems_are_mounted_on_directories(raw: RawRuntime, root: Path, kind: str) -> None:
    (root / "linked").symlink_to("elsewhere")
    (root / "elsewhere").mkdir()
    bundle = raw.bundle("true", change=with_mounts(mount("/linked", kind, kind)))
    status, told = raw.leave("create", "--bundle", str(bundle), raw.identity(), status=None)
    assert status
    assert "must be mounted on ordinary directory" in told


def test_single_files_and_their_new_content(raw: RawRuntime, root: Path, tmp_path: Path) -> None:
    """In place it is seen; by rename the mount stays what it was, as on Linux."""
    hosts = tmp_path / "hosts"
    hosts.write_text("first\n")
    script = "cat /etc/hosts; echo up; until grep -q second /etc/hosts; do :; done; stat -c %s /etc/hosts; echo again"
    script += "; until [ -e /shared/done ]; do :; done; cat /etc/hosts"
    mounts = bind(hosts, "/etc/hosts", "ro"), bind(tmp_path, "/shared")
    container = raw.start("sh", "-c", script, change=with_mounts(*mounts))
    container.wait_output("up")
    hosts.write_text("the second\n")
    container.wait_output("again")
    (tmp_path / "next").write_text("third\n")
    os.rename(tmp_path / "next", hosts)
    (tmp_path / "done").write_text("")
    assert container.wait() == ("exited", 0)
    assert container.output.read_text() == "first\nup\n11\nagain\nthe second\n"
    assert (root / "etc/hosts").read_text() == ""


def test_mounts_over_mounts_in_order(raw: RawRuntime, root: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/inner").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "two/file").write_text("two\n")
    mounts = (
        bind(tmp_path / "one", "/m"),
        mount("/m/inner", "tmpfs", "tmpfs"),
        bind(tmp_path / "two", "/m/inner/deep"),
        bind(tmp_path / "two/file", "/m/inner/deep/file"),
    )
    assert shell(raw, "cat /m/inner/deep/file; ls /m /m/inner", with_mounts(*mounts)) == [
        "two", "/m:", "inner", "", "/m/inner:", "deep",
    ]  # fmt: skip
    assert os.listdir(tmp_path / "one/inner") == []


def test_mount_points_never_lead_out(raw: RawRuntime, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_text("source\n")
    (root / "absolute").symlink_to(outside)
    (root / "up").symlink_to("../../../../../../../.." + str(outside))
    (root / "etc/resolv.conf").symlink_to("../run/nobody/made/resolv.conf")
    mounts = (
        bind(tmp_path / "source", "/absolute/one"),
        bind(tmp_path / "source", "/up/two"),
        bind(tmp_path / "source/file", "/etc/resolv.conf"),
    )
    lines = shell(raw, "cat /absolute/one/file /up/two/file /etc/resolv.conf", with_mounts(*mounts))
    assert lines == ["source"] * 3
    assert os.listdir(outside) == []
    assert (root / "run/nobody/made/resolv.conf").exists()


def test_a_missing_source_is_named(raw: RawRuntime, root: Path, tmp_path: Path) -> None:
    bundle = raw.bundle("true", change=with_mounts(bind(tmp_path / "nowhere", "/mnt")))
    status, told = raw.leave("create", "--bundle", str(bundle), raw.identity(), status=None)
    assert status
    assert str(tmp_path / "nowhere") in told
    assert "no such file or directory" in told


def test_a_source_that_is_a_symlink_is_followed_once(raw: RawRuntime, root: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("real\n")
    (tmp_path / "link").symlink_to("real")
    container = raw.start("sh", "-c", "cat /m/file; echo up; read x", change=with_mounts(bind(tmp_path / "link", "/m")))
    container.wait()
    assert container.output.read_text() == "real\nup\n"


# ---- file systems of the sandbox ------------------------------------------------------------------------------------


def test_tmpfs_and_its_limits(raw: RawRuntime, root: Path) -> None:
    (root / "old").mkdir()
    (root / "old/kept").write_text("kept\n")
    mounts = (
        mount("/t", "tmpfs", "tmpfs", "size=1m", "mode=710", "uid=5", "gid=6"),
        mount("/few", "tmpfs", "tmpfs", "nr_inodes=4"),
        mount("/old", "tmpfs", "tmpfs", "tmpcopyup"),
        mount("/as-before", "tmpfs", "tmpfs"),
        mount("/made", "tmpfs", "tmpfs"),
    )
    (root / "as-before").mkdir()
    (root / "as-before").chmod(0o7751)
    script = """
        stat -c %a:%u:%g /t /as-before /made
        dd if=/dev/zero of=/t/f bs=4096 count=1000 2>/dev/null || echo full; stat -c %s /t/f
        df /t | tail -1 | awk '{print $2, $4}'; rm /t/f; echo room > /t/g && cat /t/g
        for i in 1 2 3 4 5; do (echo > /few/$i) 2>/dev/null || echo no $i; done; cat /old/kept; echo new > /old/new"""
    lines = shell(raw, script, with_mounts(*mounts))
    assert lines == ["710:5:6", "7751:0:0", "1777:0:0", "full", "1048576", "1024 0", "room", "no 4", "no 5", "kept"]
    assert os.listdir(root / "old") == ["kept"]


def test_kernel_file_systems(raw: RawRuntime, root: Path) -> None:
    mounts = (
        mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    )
    script = "grep -c . /proc/self/status > /dev/null && echo proc; stat -c %a /dev/shm; ls /sys | grep -c kernel"
    script += "; awk '{print $2, $3}' /proc/mounts | grep -E '^/(proc|sys|dev/(pts|shm|mqueue)) '; ls /dev/pts"
    assert shell(raw, script, with_mounts(*mounts)) == [
        "proc", "1777", "1", "/proc proc", "/dev/pts devpts", "/sys sysfs", "/dev/shm tmpfs", "/dev/mqueue mqueue",
        "ptmx",
    ]  # fmt: skip


def test_the_container_sees_its_own_cgroup(raw: RawRuntime, root: Path) -> None:
    def change(document: Config) -> None:
        with_mounts(mount("/sys", "sysfs", "sysfs", "ro"), mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro"))(document)
        document["linux"]["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 55}}
        document["linux"]["namespaces"].append({"type": "cgroup"})

    script = """
        cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null
        cat pids/pids.max pids.max 2>/dev/null; cut -d: -f3 /proc/self/cgroup | sort -u
        for i in pids/pids.max pids.max; do [ ! -e $i ] || (echo 1 > $i) 2>/dev/null || echo refused; done"""
    assert shell(raw, script, change) == [str(64 << 20), "55", "/", "refused"]


@pytest.mark.skipif(not Path("/sys/fs/cgroup/memory").exists(), reason="mounts hierarchies of cgroup v1")
def test_a_hierarchy_has_the_name_of_its_mount(raw: RawRuntime, root: Path, tmp_path: Path) -> None:
    """As where cpu and cpuacct are one: names of controllers lead to it. The runtime gets such a machine."""
    if not raw.is_ours:
        pytest.skip("others want more hierarchies")
    machine = "umount -lR /sys/fs/cgroup; mount -t tmpfs none /sys/fs/cgroup; cd /sys/fs/cgroup"
    machine += "; mkdir memory,more systemd"
    machine += "; mount -t cgroup -o memory none memory,more; mount -t cgroup -o none,name=systemd none systemd; cd /"
    there = tmp_path / "there"
    there.write_text(f"#!/bin/sh\nexec unshare -m sh -c '{machine}; exec {raw.path} \"$@\"' sh \"$@\"\n")
    there.chmod(0o755)
    raw.path = there
    script = "cd /sys/fs/cgroup; ls -d *; readlink memory; cat memory/memory.limit_in_bytes; cat /proc/self/cgroup"

    def change(document: Config) -> None:
        with_mounts(mount("/sys", "sysfs", "sysfs", "ro"), mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro"))(document)
        document["linux"]["resources"] = {"memory": {"limit": 64 << 20}}
        document["linux"]["namespaces"].append({"type": "cgroup"})

    lines = shell(raw, script, change)
    assert lines[:5] == ["memory", "memory,more", "systemd", "memory,more", str(64 << 20)]
    assert {line.partition(":")[2] for line in lines[5:]} == {"memory:/", "name=systemd:/"}


def test_masked_and_read_only_paths(raw: RawRuntime, root: Path) -> None:
    (root / "secret").mkdir()
    (root / "secret/file").write_text("x")
    (root / "secret.txt").write_text("x")
    change = with_mounts(
        maskedPaths=["/secret", "/secret.txt", "/proc/version", "/not/there"],
        readonlyPaths=["/proc/sys", "/etc", "/nor/there"],
    )
    script = "ls /secret; cat /secret.txt /proc/version; echo x > /etc/new; echo x > /secret/new"
    script += "; echo 1 > /proc/sys/kernel/sem"
    lines = shell(raw, script, change)
    assert len(lines) == 3, lines
    assert all("ead-only" in line for line in lines)


# ---- devices and settings -------------------------------------------------------------------------------------------


def test_devices(raw: RawRuntime, root: Path) -> None:
    change = with_mounts(
        devices=[
            {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600, "uid": 3, "gid": 4},
            {"path": "/dev/deep/fifo", "type": "p", "fileMode": 0o644},
        ]
    )
    script = """
        stat -c '%n %A %u:%g' /dev/null /dev/mine /dev/deep/fifo; stat -c %t:%T /dev/mine; head -c 2 /dev/mine | wc -c
        for i in fd stdin stdout stderr ptmx; do readlink /dev/$i; done
        echo x > /dev/null; head -c 4 /dev/urandom | wc -c
        (echo x > /dev/full) 2>/dev/null || echo full"""
    assert shell(raw, script, change) == [
        "/dev/null crw-rw-rw- 0:0", "/dev/mine crw------- 3:4", "/dev/deep/fifo prw-r--r-- 0:0", "1:5", "2",
        "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx", "4", "full",
    ]  # fmt: skip
    assert os.listdir(root / "dev") == []


def test_devices_cannot_be_made(raw: RawRuntime, root: Path) -> None:
    """A disk's node, by a root that has CAP_MKNOD. (runc leaves it to the cgroup of devices.)"""
    lines = shell(raw, "mknod /tmp/disk b 8 0 && cat /tmp/disk; echo $?")
    assert lines[-1] == "1"
    if raw.is_ours:
        assert not (root / "tmp/disk").exists()


def test_settings(raw: RawRuntime, root: Path) -> None:
    settings = {"kernel.shmmax": "1234567", "net.ipv4.tcp_fin_timeout": "33", "fs.mqueue.msg_max": "22"}
    script = "cd /proc/sys; cat kernel/shmmax net/ipv4/tcp_fin_timeout fs/mqueue/msg_max"
    assert shell(raw, script, with_mounts(sysctl=settings)) == ["1234567", "33", "22"]
    bundle = raw.bundle("true", change=with_mounts(sysctl={"net.no_such_thing": "1"}))
    status, told = raw.leave("create", "--bundle", str(bundle), raw.identity(), status=None)
    assert status
    assert "no_such_thing" in told


def test_the_domain_name(raw: RawRuntime, root: Path) -> None:
    def change(document: Config) -> None:
        document["domainname"] = "of.the.box"

    if not raw.is_ours:
        pytest.skip("Debian's do not know the field yet")
    assert shell(raw, "cat /proc/sys/kernel/domainname", change) == ["of.the.box"]


def test_the_working_directory_is_made(raw: RawRuntime, root: Path) -> None:
    def change(document: Config) -> None:
        with_mounts()(document)
        document["process"]["cwd"] = "/made/for/it"

    assert shell(raw, "pwd", change) == ["/made/for/it"]
    assert (root / "made/for/it").is_dir()


def test_a_symlink_swapped_into_a_mount_point(raw: RawRuntime, root: Path, tmp_path: Path) -> None:
    """The container makes a symlink of the directory that its next run mounts on."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "source").mkdir()
    shell(raw, f"mkdir -p /data && rmdir /data && ln -s {outside} /data && ln -s /proc/1/root{tmp_path} /other")
    shell(raw, "touch /data/in/x", with_mounts(bind(tmp_path / "source", "/data/in")))
    bundle = raw.bundle("true", change=with_mounts(bind(tmp_path / "source", "/other/in")))
    raw.leave("create", "--bundle", str(bundle), raw.identity(), status=None)
    assert os.listdir(outside) == []
    assert not (tmp_path / "in").exists()
    wait_until(lambda: os.listdir(tmp_path / "source") == ["x"], "the file in the source")
