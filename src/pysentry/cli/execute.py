"""`exec`: one more program in a container."""

from __future__ import annotations

from pysentry.oci.errors import UsageError
from pysentry.oci.executing import Execution
from pysentry.oci.executing import execute as execute_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call


def execute(call: Call) -> int:
    asked = Execution()
    identity, *asked.argv = call.words
    for key in ("cwd", "user", "console_socket", "pid_file", "pidfd_socket"):
        setattr(asked, key, call.text(key))
    asked.process_file = call.text("process")
    asked.env = call.texts("env")
    asked.capabilities = call.texts("cap")
    asked.additional_gids = [_gid(word) for word in call.texts("additional_gids")]
    asked.tty = call.flag("tty")
    asked.no_new_privs = call.flag("no_new_privs") if "no_new_privs" in call.values else None
    asked.ignores_pause = call.flag("ignore_paused")
    asked.is_detached = call.flag("detach")
    asked.preserve_fds = call.number("preserve_fds")
    if asked.process_file and asked.argv:
        raise UsageError("a command and --process exclude each other")
    for path in call.texts("cgroup"):
        if path.rpartition(":")[2].strip("/"):
            raise UsageError(f"--cgroup {path}: a program can join the container's own cgroup only")
    return execute_inside(call.store, identity, asked, call.log)


def _gid(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise UsageError(f'invalid value "{word}" for flag -additional-gids: parse error')
    return int(word)
