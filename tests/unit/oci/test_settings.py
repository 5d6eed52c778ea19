"""Settings: which of flag, annotation, user's file, machine's file and default holds, and what is wrong where."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from pysentry.oci import settings as settings_module
from pysentry.oci.errors import SettingsError
from pysentry.oci.settings import ANNOTATIONS, KEYS, SYSTEM_FILE, Settings, load_settings

USER_FILE = "/home/u/.config/pysentry/config.toml"


def load(environ: dict[str, str] | None = None, **flags: object) -> Settings:
    return load_settings(flags, {"HOME": "/home/u"} if environ is None else environ)


def complaint(**flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**flags)
    return str(caught.value)


def shown(settings: Settings) -> dict[str, Any]:
    return {key: getattr(settings, key) for key in KEYS}


def test_defaults(fs: FakeFilesystem) -> None:
    assert shown(load()) == {
        "root": "",
        "log": "",
        "log_format": "text",
        "debug": False,
        "systemd_cgroup": False,
        "cgroup_manager": "cgroupfs",
        "rootless": "auto",
        "platform": "auto",
        "network": "auto",
        "overlay": False,
        "fast_path": True,
        "allowed_annotations": (),
    }


def test_precedence(fs: FakeFilesystem) -> None:
    fs.create_file(
        SYSTEM_FILE,
        contents="""
            platform = "seccomp"
            network = "none"
            overlay = true
            root = "/run/machine"
            rootless = false
            allowed_annotations = ["dev.pysentry.platform", "dev.pysentry.network", "dev.pysentry.overlay"]
        """,
    )
    assert (load().platform, load().rootless) == ("seccomp", "false")
    fs.create_file(USER_FILE, contents='platform = "ptrace"\nroot = "/run/user"')
    settings = load(overlay=False)
    assert (settings.platform, settings.network, settings.overlay, settings.root) == (
        "ptrace",
        "none",
        False,
        "/run/user",
    )
    asked = {f"dev.pysentry.{key}": value for key, value in (("platform", "auto"), ("overlay", "true"))}
    mine, warnings = settings.with_annotations(asked | {"org.example": "x"})
    assert (mine.platform, mine.overlay, mine.network, warnings) == ("auto", False, "none", [])
    assert settings.platform == "ptrace"


def test_annotations_need_leave(fs: FakeFilesystem) -> None:
    settings = load()
    mine, warnings = settings.with_annotations(
        {"dev.pysentry.network": "host", "dev.pysentry.root": "/", "dev.pysentry.x": "y"}
    )
    assert shown(mine) == shown(settings)
    assert warnings == [
        "annotation dev.pysentry.network is not in allowed_annotations and is ignored",
        "annotation 'dev.pysentry.root' is not known and is ignored",
        "annotation 'dev.pysentry.x' is not known and is ignored",
    ]


def test_an_allowed_annotation_with_a_wrong_value(fs: FakeFilesystem) -> None:
    fs.create_file(SYSTEM_FILE, contents='allowed_annotations = ["dev.pysentry.overlay"]')
    with pytest.raises(SettingsError, match=r"^annotation dev\.pysentry\.overlay: expected one of true, false, got"):
        load().with_annotations({"dev.pysentry.overlay": "yes"})


def test_where_the_users_file_is(fs: FakeFilesystem) -> None:
    fs.create_file("/x/pysentry/config.toml", contents="debug = true")
    assert load({"XDG_CONFIG_HOME": "/x"}).debug
    assert not load({"XDG_CONFIG_HOME": "x", "HOME": "relative"}).debug
    assert not load({}).debug
    fs.create_file(USER_FILE, contents="overlay = true")
    assert load({"XDG_CONFIG_HOME": "relative", "HOME": "/home/u"}).overlay


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ('platfrom = "auto"', "unknown key 'platfrom'"),
        ('platform = "kvm"', "platform: expected one of auto, seccomp, ptrace, got 'kvm'"),
        ("platform = 5", "platform: expected a string, got 5"),
        ("overlay = 1", "overlay: expected true or false, got 1"),
        ('overlay = "yes"', "overlay: expected one of true, false, got 'yes'"),
        ('network = "bridge"', "network: expected one of auto, none, host, got 'bridge'"),
        ("root = true", "root: expected a string, got True"),
        ('root = "a\\u0000b"', "root: expected a string, got 'a\\x00b'"),
        ("[platform]", "platform: expected a string, got {}"),
        ('allowed_annotations = "platform"', "allowed_annotations: expected an array of names, got 'platform'"),
        ('allowed_annotations = ["dev.pysentry.root"]', f"allowed_annotations: expected names of {ANNOTATIONS[0]}, "),
        ("allowed_annotations = [[]]", "allowed_annotations: expected names of "),
        ("platform", ""),
        ('platform = "auto', ""),
        ("debug = true\ndebug = false", ""),
        ("a = " + "[" * 5000, ""),
    ],
)
def test_a_wrong_file_is_named(fs: FakeFilesystem, contents: str, message: str) -> None:
    fs.create_file(USER_FILE, contents=contents)
    assert complaint().startswith(f"{USER_FILE}: {message}")


def test_files_that_cannot_be_read(fs: FakeFilesystem) -> None:
    fs.create_file(USER_FILE, contents=b"log = '\xff'")
    assert complaint().startswith(f"{USER_FILE}: 'utf-8' codec")
    fs.remove(USER_FILE)
    fs.create_dir(USER_FILE)
    assert complaint() == f"{USER_FILE}: is a directory"
    fs.remove_object("/home/u/.config/pysentry")
    fs.create_file("/home/u/.config/pysentry")
    assert load().platform == "auto"  # a file where the directory would be: there is none


def as_another_user(path: Path, mode: int, owner: int, uid: int = 65534) -> str:
    """What settings are, or the complaint, for a user whose HOME is a directory of this mode and owner; below it there
    is a file that cannot be used."""
    file = path / "home/.config/pysentry/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("wrong = 1")
    file.chmod(0o600)
    os.chown(file, owner, owner)
    os.chown(path / "home", owner, owner)
    (path / "home").chmod(mode)
    source = str(Path(settings_module.__file__).resolve().parents[2])
    program = f"""
import os, sys
sys.path.insert(0, {source!r})
from pysentry.oci import settings
from pysentry.oci import settings as settings_module
from pysentry.oci.errors import SettingsError
os.setresuid({uid}, {uid}, {uid})
try:
    print(settings.load_settings({{}}, {{"HOME": {str(path / "home")!r}}}).platform)
except SettingsError as error:
    print(error)
"""
    done = subprocess.run(["/usr/bin/python3", "-c", program], capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_home_that_is_closed_to_us() -> None:
    """After su or setpriv HOME may still be root's: what is in it is not for us. What is ours, or in sight, is."""
    file = "home/.config/pysentry/config.toml"
    with tempfile.TemporaryDirectory() as name:  # not tmp_path: what is above that is closed to other users
        place = Path(name)
        place.chmod(0o755)
        assert as_another_user(place / "1", 0o700, 0) == "auto"
        assert as_another_user(place / "2", 0o755, 0) == f"{place}/2/{file}: permission denied"
        assert as_another_user(place / "3", 0o000, 65534) == f"{place}/3/{file}: permission denied"
        assert as_another_user(place / "4", 0o700, 65534) == f"{place}/4/{file}: unknown key 'wrong'"


def test_rootless(fs: FakeFilesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """As runc's: auto is for everybody but the host's root."""
    fs.create_file("/proc/self/uid_map", contents="0 0 4294967295\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert not load().is_rootless
    assert load(rootless="true").is_rootless
    fs.remove("/proc/self/uid_map")
    fs.create_file("/proc/self/uid_map", contents="0 1000 1\n")
    assert load().is_rootless
    assert not load(rootless="false").is_rootless
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert load().is_rootless
    assert not load(rootless="false").is_rootless


def test_a_wrong_flag(fs: FakeFilesystem) -> None:
    assert complaint(log_format="xml") == "--log-format: expected one of text, json, got 'xml'"
    assert (load(rootless="true").rootless, load(rootless=True).rootless) == ("true", "true")
