"""A bundle: the directory with config.json and, mostly, the root file system.

Owns finding and reading it, and the checks that runc makes on the host, in its words. Does not change anything.
"""

from __future__ import annotations

import os

from pysentry.oci.document import parse, read_file, words
from pysentry.oci.errors import BundleError, SpecError
from pysentry.oci.spec import Spec
from pysentry.oci.spec_process import Process, check_process

CONFIG = "config.json"


class Bundle:
    """path: absolute, without symlinks. rootfs: absolute, a directory. document: config.json as it was read."""

    __slots__ = ("document", "path", "rootfs", "spec")

    def __init__(self, path: str, rootfs: str, spec: Spec, document: bytes = b"") -> None:
        self.path = path
        self.rootfs = rootfs
        self.spec = spec
        self.document = document

    @property
    def process(self) -> Process:
        """open_bundle() made sure that there is one."""
        assert self.spec.process is not None
        return self.spec.process


def open_bundle(path: str = "") -> Bundle:
    """Reads and checks a bundle. "": the working directory.

    Raises:
        BundleError: what is missing on the host. SpecError: what is wrong in config.json.
    """
    where = _directory(path)
    document = read_file(os.path.join(where, CONFIG), f"JSON specification file {CONFIG} not found")
    spec = Spec(parse(document, CONFIG))
    check_process(spec.process)
    return Bundle(where, _rootfs(spec, where), spec, document)


def _directory(path: str) -> str:
    try:
        where = os.path.realpath(path or os.getcwd(), strict=True)
        if not os.path.isdir(where):
            raise BundleError(f"chdir {path}: not a directory")
    except OSError as error:
        raise BundleError(f"chdir {path or '.'}: {words(error)}") from None
    except ValueError:
        raise BundleError("the bundle's path contains a NUL byte") from None
    return where


def _rootfs(spec: Spec, bundle: str) -> str:
    """root.path, below the bundle if it is relative. Never through a symlink: as runc, which must not be led elsewhere
    between this look and the gofer's."""
    if spec.root is None:
        raise SpecError("root", "root must be specified")
    if not spec.root.path:
        raise SpecError("root.path", "must not be empty")
    rootfs = os.path.normpath(os.path.join(bundle, spec.root.path))
    try:
        resolved = os.path.realpath(rootfs, strict=True)
    except OSError as error:
        raise BundleError(f"invalid rootfs: stat {rootfs}: {words(error)}") from None
    if resolved != rootfs:
        raise BundleError("invalid rootfs: not an absolute path, or a symlink")
    if not os.path.isdir(rootfs):
        raise BundleError(f"invalid rootfs: {rootfs}: not a directory")
    return rootfs
