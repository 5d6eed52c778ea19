"""Bundles: found, read and checked before anything starts, in runc's words."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from pysentry.oci.bundle import open_bundle
from pysentry.oci.errors import BundleError, OciError, SpecError
from pysentry.oci.spec_process import read_process
from tests.harness.oci_documents import minimal


def write(fs: FakeFilesystem, document: Any, directory: str = "/b") -> None:
    fs.create_file(f"{directory}/config.json", contents=json.dumps(document))


def complaint(path: str = "/b") -> str:
    with pytest.raises(OciError) as caught:
        open_bundle(path)
    return str(caught.value)


def test_a_bundle(fs: FakeFilesystem) -> None:
    write(fs, minimal())
    fs.create_dir("/b/rootfs")
    bundle = open_bundle("/b/../b/")
    assert (bundle.path, bundle.rootfs) == ("/b", "/b/rootfs")
    assert bundle.process.args == ("/bin/true",)
    os.chdir("/b")
    assert open_bundle().path == "/b"
    assert open_bundle(".").path == "/b"


def test_an_absolute_root(fs: FakeFilesystem) -> None:
    write(fs, minimal() | {"root": {"path": "/images/one/"}})
    fs.create_dir("/images/one")
    assert open_bundle("/b").rootfs == "/images/one"


def test_the_bundle_may_be_reached_through_a_symlink_but_not_the_root(fs: FakeFilesystem) -> None:
    write(fs, minimal())
    fs.create_dir("/elsewhere")
    fs.create_symlink("/link", "/b")
    fs.create_symlink("/b/rootfs", "/elsewhere")
    assert complaint("/link") == "invalid rootfs: not an absolute path, or a symlink"
    fs.remove("/b/rootfs")
    fs.create_dir("/b/rootfs")
    assert open_bundle("/link").rootfs == "/b/rootfs"


def test_a_root_above_the_bundle(fs: FakeFilesystem) -> None:
    write(fs, minimal() | {"root": {"path": "../shared"}})
    fs.create_dir("/shared")
    assert open_bundle("/b").rootfs == "/shared"


def test_what_is_missing(fs: FakeFilesystem) -> None:
    assert complaint("/none") == "chdir /none: no such file or directory"
    fs.create_file("/file")
    assert complaint("/file") == "chdir /file: not a directory"
    fs.create_dir("/b")
    assert complaint() == "JSON specification file config.json not found"
    write(fs, minimal())
    assert complaint() == "invalid rootfs: stat /b/rootfs: no such file or directory"
    fs.create_file("/b/rootfs")
    assert complaint() == "invalid rootfs: /b/rootfs: not a directory"


def test_config_json_is_a_directory_or_truncated(fs: FakeFilesystem) -> None:
    fs.create_dir("/b/config.json")
    assert "config.json" in complaint()
    fs.create_file("/c/config.json", contents='{"ociVersion": "1.0')
    assert complaint("/c").startswith("config.json is not valid JSON: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"process": None}, "process: process property must not be empty"),
        ({"process": {"cwd": "", "args": ["x"]}}, "process.cwd: Cwd property must not be empty"),
        ({"process": {"cwd": "srv", "args": ["x"]}}, "process.cwd: Cwd must be an absolute path"),
        ({"process": {"cwd": "/", "args": []}}, "process.args: args must not be empty"),
        ({"root": None}, "root: root must be specified"),
        ({"root": {"path": ""}}, "root.path: must not be empty"),
    ],
)
def test_what_runc_demands(fs: FakeFilesystem, change: dict[str, Any], message: str) -> None:
    write(fs, minimal() | change)
    fs.create_dir("/b/rootfs")
    assert complaint() == message


def test_the_process_of_exec(fs: FakeFilesystem) -> None:
    with pytest.raises(BundleError, match=r"^open /p\.json: no such file or directory$"):
        read_process("/p.json")
    fs.create_file("/p.json", contents='{"cwd": "/", "args": ["ls"]}')
    assert read_process("/p.json").args == ("ls",)
    fs.create_file("/q.json", contents='{"cwd": "x", "args": ["ls"]}')
    with pytest.raises(SpecError, match=r"^cwd: Cwd must be an absolute path$"):
        read_process("/q.json")
    fs.create_file("/r.json", contents='{"cwd": ')
    with pytest.raises(SpecError, match=r"^r\.json is not valid JSON"):
        read_process("/r.json")
