"""RunConfig: every value that can be refused before anything starts."""

from __future__ import annotations

import os

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from pysentry.sandbox.config import RunConfig, parse_bind, parse_duration, run_config
from pysentry.sandbox.errors import ConfigError, describe


def config(**options: object) -> RunConfig:
    return run_config(options, ["prog"], {"PATH": "/bin", "PYSENTRY_REPORT": "/r"})


def refuse(message: str, **options: object) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**options)


def test_defaults(fs: FakeFilesystem) -> None:
    made = config()
    assert (made.rootfs, made.net, made.platform, made.fast_path, made.tty) == ("/", "none", "auto", True, None)
    assert made.env == {"PATH": "/bin"}
    assert made.report_path == "/r"
    assert made.cwd == os.getcwd()
    assert made.user.uid == os.getuid()


def test_a_root_of_ones_own_starts_in_its_root(fs: FakeFilesystem) -> None:
    fs.create_dir("/img")
    assert config(rootfs="/img").cwd == "/"
    assert config(rootfs="/img", cwd="/srv/./x/").cwd == "/srv/x"
    refuse("Not a directory", rootfs=fs.create_file("/file").path)


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("/a:/b", ("/a", "/b", True)),
        ("/a:/b:ro", ("/a", "/b", True)),
        ("/a:/b:rw", ("/a", "/b", False)),
        ("/a/../c:/b//d/", ("/c", "/b/d", True)),
    ],
)
def test_binds(text: str, bind: tuple[str, str, bool]) -> None:
    assert parse_bind(text) == bind


@pytest.mark.parametrize("text", ["", "/a", ":/b", "/a:", "/a:b", "/a:/b:rx", "/a:/b:rw:z", "/a:/", "/a:/b/../c"])
def test_bad_binds(text: str) -> None:
    with pytest.raises(ConfigError, match="--bind"):
        parse_bind(text)


@pytest.mark.parametrize(("text", "seconds"), [("2", 2), ("1.5s", 1.5), ("500ms", 0.5), ("5m", 300), ("1h", 3600)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration("--timeout", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "0", "-1", "nan", "inf", "1d", "1 s m", "1e9", "ms"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ConfigError, match="--timeout"):
        parse_duration("--timeout", text)


def test_users(fs: FakeFilesystem) -> None:
    fs.create_file("/img/etc/passwd", contents="root:x:0:0:::\nbroken line\nweb:x:33:34:::\n")
    fs.create_file("/img/etc/group", contents="web:x:34:\nops:x:50:\n")
    fs.create_file("/etc/passwd", contents="mallory:x:1:1:::\n")

    def user(text: str) -> tuple[int, int]:
        made = config(rootfs="/img", user=text).user
        assert made.groups == (made.gid,)
        return made.uid, made.gid

    assert user("web") == (33, 34)
    assert user("33") == (33, 34)
    assert user("7") == (7, 7)
    assert user("web:ops") == (33, 50)
    assert user("5:6") == (5, 6)
    refuse("no user 'mallory'", rootfs="/img", user="mallory")
    refuse("no group 'wheel'", rootfs="/img", user="web:wheel")
    refuse("ids go from 0", rootfs="/img", user="4294967295")


def test_a_passwd_that_is_a_symlink_is_not_read(fs: FakeFilesystem) -> None:
    fs.create_file("/secret", contents="web:x:33:34:::\n")
    fs.create_symlink("/img/etc/passwd", "/secret")
    refuse("no user 'web'", rootfs="/img", user="web")


def test_other_values(fs: FakeFilesystem) -> None:
    made = config(
        env=["A=1", "B=x=y"], tmpfs=["/scratch"], hostname="box-1", pids="7", trace="-", stats="out", tty=True
    )
    assert made.env == {"PATH": "/bin", "A": "1", "B": "x=y"}
    assert (made.tmpfs, made.hostname, made.pids, made.trace, made.tty) == (["/scratch"], "box-1", 7, "-", True)
    assert made.stats == os.path.abspath("out")
    refuse("NAME=VALUE", env=["A"])
    refuse("absolute", tmpfs=["x"])
    refuse("overlay", tmpfs=["/"])
    refuse("--hostname", hostname="a b")
    refuse("--pids", pids="many")
    refuse("expected a file name", trace="")


def test_no_command() -> None:
    with pytest.raises(ConfigError, match="no command"):
        run_config({}, [], {})


def test_errors_are_words() -> None:
    assert describe(-1) == "Operation not permitted (EPERM)"
