"""Finding the command of a run in the sandbox's own tree, and saying why it cannot be executed."""

from __future__ import annotations

import os

from pysentry.abi.errno import LinuxError
from pysentry.abi.stat import S_IFMT, S_IFREG
from pysentry.sandbox.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, CommandError
from pysentry.vfs.walk import resolve_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pysentry.platform.cdefs import CCredentials, CDentry

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENOENT, EACCES, ENOEXEC, E2BIG, ELOOP, ENOTDIR, ELIBBAD = 2, 13, 8, 7, 40, 20, 80
_REASONS = {
    ENOEXEC: "not an executable this machine can run (exec format error: a broken or foreign ELF file, or no #! line)",
    E2BIG: "the arguments and environment are too long together (argument list too long)",
    ELOOP: "too many symbolic links or nested #! interpreters",
    ELIBBAD: "its ELF interpreter is not usable",
}


def find(name: str, env: Mapping[str, str], cred: CCredentials, root: CDentry, cwd: CDentry) -> str:
    """The path to execute: the command itself if it has a slash, else found on the PATH of its environment.

    Raises:
        CommandError: 127 no such command, 126 it is there but no program.
    """
    if "/" in name:
        return name
    if not name:
        raise CommandError("the command is an empty string", EXIT_NOT_FOUND)
    path, is_denied = _search(name, env, cred, root, cwd)
    if path is not None:
        return path
    if is_denied:
        raise CommandError(f"{name}: found on PATH, but not executable (permission denied)", EXIT_NOT_EXECUTABLE)
    raise CommandError(f"{name}: command not found on PATH", EXIT_NOT_FOUND)


def find_now(name: str, env: Mapping[str, str], cred: CCredentials, root: CDentry, cwd: CDentry) -> str:
    """The same for containers: a path is looked at here and now, and the words are those that engines match on."""
    if "/" in name:
        error = _why_not(name, cred, root, cwd)
        path, is_denied = (name, False) if not error else (None, error not in (ENOENT, ENOTDIR))
        missing = f"stat {name}: {os.strerror(error).lower()}" if error else ""
    else:
        path, is_denied = _search(name, env, cred, root, cwd)
        missing = "executable file not found in $PATH"
    if path is not None:
        return path
    if is_denied:
        raise CommandError(f'exec: "{name}": permission denied', EXIT_NOT_EXECUTABLE)
    raise CommandError(f'exec: "{name}": {missing}', EXIT_NOT_FOUND)


def _search(
    name: str, env: Mapping[str, str], cred: CCredentials, root: CDentry, cwd: CDentry
) -> tuple[str | None, bool]:
    """(path, or None; whether something by that name is there that is no program for us)"""
    is_denied = False
    for directory in env.get("PATH", DEFAULT_PATH).split(":"):
        path = os.path.join(directory or ".", name)
        error = _why_not(path, cred, root, cwd)
        if not error:
            return path, False
        is_denied = is_denied or error == EACCES
    return None, is_denied


def _why_not(path: str, cred: CCredentials, root: CDentry, cwd: CDentry) -> int:
    """0: a program, as far as its mode says; else an errno."""
    try:
        inode = resolve_from(None, cred, root, cwd, os.fsencode(path)).inode
    except LinuxError as error:
        return error.errno
    return 0 if inode.mode & S_IFMT == S_IFREG and inode.mode & 0o111 else EACCES


def refused(name: str, number: int, exists: bool, is_container: bool = False) -> CommandError:
    """Why the first exec failed, in words; of a container, in runc's. `exists`: the file itself is there, so ENOENT is
    its interpreter's."""
    reason = _REASONS.get(number) or os.strerror(number).lower()
    if number in (ENOENT, ENOTDIR) and not exists:
        return CommandError(f"{name}: no such file or directory", EXIT_NOT_FOUND)
    if number == ENOENT:
        if is_container:
            return CommandError(f"exec {name}: {reason}", EXIT_NOT_EXECUTABLE)
        return CommandError(f"{name}: its interpreter (ELF or #!) does not exist in the sandbox", EXIT_NOT_EXECUTABLE)
    return CommandError(f"{name}: {reason}", EXIT_NOT_EXECUTABLE)
