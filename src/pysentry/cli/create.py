"""`create`: a container up to the moment before its program is executed."""

from __future__ import annotations

from pysentry.oci.lifecycle import Request
from pysentry.oci.lifecycle import create as create_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call


def create(call: Call) -> int:
    create_container(call.store, request_of(call), call.settings, call.log)
    return 0


def request_of(call: Call) -> Request:
    """What `create` and `run` have in common."""
    request = Request(call.words[0])
    request.bundle = call.text("bundle")
    request.console_socket = call.text("console_socket")
    request.pid_file = call.text("pid_file")
    request.pidfd_socket = call.text("pidfd_socket")
    request.preserve_fds = call.number("preserve_fds")
    return request
