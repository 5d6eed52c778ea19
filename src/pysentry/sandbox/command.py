"""Finding the command of a run in the sandbox's own tree, and saying why it cannot be executed."""

from __future__ import annotations

import os

from pysentry.abi.errno import LinuxError
from pysentry.abi.stat import S_IFMT, S_IFREG
from pysentry.sandbox.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, CommandError
from pysentry.vfs.walk import resolve_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CCredentials, CDentry
    from pysentry.sandbox.config import RunConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENOENT, EACCES, ENOEXEC, E2BIG, ELOOP, ENOTDIR, ELIBBAD = 2, 13, 8, 7, 40, 20, 80
_REASONS = {
    ENOEXEC: "not an executable this machine can run (exec format error: a broken or foreign ELF file, or no #! line)",
    E2BIG: "the arguments and environment are too long together (argument list too long)",
    ELOOP: "too many symbolic links or nested #! interpreters",
    ELIBBAD: "its ELF interpreter is not usable",
}


def find(config: RunConfig, cred: CCredentials, root: CDentry, cwd: CDentry) -> str:
    """The path to execute: the command itself if it has a slash, else found on the PATH of the run's environment.

    Raises:
        CommandError: 127 no such command, 126 it is there but no program.
    """
    name = config.argv[0]
    if "/" in name:
        return name
    if not name:
        raise CommandError("the command is an empty string", EXIT_NOT_FOUND)
    denied = False
    for directory in config.env.get("PATH", DEFAULT_PATH).split(":"):
        path = os.path.join(directory or ".", name)
        try:
            dentry = resolve_from(None, cred, root, cwd, os.fsencode(path))
        except LinuxError as error:
            denied = denied or error.errno == EACCES
            continue
        mode = dentry.inode.mode
        if mode & S_IFMT == S_IFREG and mode & 0o111:
            return path
        denied = True
    if denied:
        raise CommandError(f"{name}: found on PATH, but not executable (permission denied)", EXIT_NOT_EXECUTABLE)
    raise CommandError(f"{name}: command not found on PATH", EXIT_NOT_FOUND)


def refused(name: str, number: int, exists: bool) -> CommandError:
    """Why the first exec failed, in words. `exists`: the file itself is there, so ENOENT is its interpreter's."""
    reason = _REASONS.get(number) or os.strerror(number).lower()
    if number in (ENOENT, ENOTDIR) and not exists:
        return CommandError(f"{name}: no such file or directory", EXIT_NOT_FOUND)
    if number == ENOENT:
        return CommandError(f"{name}: its interpreter (ELF or #!) does not exist in the sandbox", EXIT_NOT_EXECUTABLE)
    return CommandError(f"{name}: {reason}", EXIT_NOT_EXECUTABLE)
