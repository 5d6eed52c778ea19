"""The verbs' end of a container's control socket (the server is pysentry.sandbox.control).

Owns connecting, and which error an answer is. The sentry is not trusted: what it answers is checked for type and size,
and waiting for it ends.
"""

from __future__ import annotations

import _socket
import os

from pysentry.oci.errors import ContainerFailedError, NotRunningError, OciError
from pysentry.oci.state import CONTROL
from pysentry.sandbox.messages import MessageError, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysentry.oci.state import Directory
    from pysentry.sandbox.messages import Document

PATIENCE_S = 10.0
"""For answers that the sentry gives at once."""
BACKLOG = 64


def listen(directory: Directory) -> _socket.socket:
    """The socket that a new sentry accepts on. Raises OciError."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)
    try:
        listener.bind(_address(directory))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OciError(f"{directory.path}/{CONTROL}: {error.strerror}") from None
    finally:
        os.umask(mask)
    return listener


def _address(directory: Directory) -> str:
    """Short, whatever --root and the id are: an address holds 107 bytes."""
    return f"/proc/self/fd/{directory.fd}/{CONTROL}"


class Client:
    """One connection. Raises NotRunningError where the sentry is gone."""

    __slots__ = ("socket",)

    def __init__(self, directory: Directory, patience_s: float | None = PATIENCE_S) -> None:
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        self.socket.settimeout(patience_s)
        try:
            self.socket.connect(_address(directory))
        except (ConnectionRefusedError, FileNotFoundError):
            self.socket.close()
            raise NotRunningError from None
        except OSError as error:
            self.socket.close()
            raise OciError(f"the sandbox does not listen: {error.strerror or error}") from None

    def close(self) -> None:
        self.socket.close()

    def request(self, document: Document, descriptors: Sequence[int] = ()) -> tuple[Document, list[int]]:
        """Sends a request and returns the answer with the descriptors that came along.

        Raises:
            NotRunningError: the sentry is gone. ContainerFailedError: the answer is an error; status as it says, or 1.
        """
        try:
            send(self.socket, document, descriptors)
            answer, received = receive(self.socket)
        except (BrokenPipeError, ConnectionResetError):
            raise NotRunningError from None
        except TimeoutError:
            raise OciError("the sandbox does not answer") from None
        except (OSError, MessageError) as error:
            raise OciError(f"cannot talk to the sandbox: {error}") from None
        if answer is None:
            raise NotRunningError
        if "error" in answer:
            for fd in received:
                os.close(fd)
            message, status = str(answer["error"]), answer.get("status")
            if message == str(NotRunningError()):
                raise NotRunningError
            raise ContainerFailedError(message, status if isinstance(status, int) else 1)
        return answer, received


def ask(directory: Directory, document: Document, patience_s: float | None = PATIENCE_S) -> Document:
    """One request on a connection of its own."""
    client = Client(directory, patience_s)
    try:
        answer, received = client.request(document)
    finally:
        client.close()
    for fd in received:
        os.close(fd)
    return answer


def start(directory: Directory) -> None:
    """Lets pid 1's exec go. As long as it takes: a root on a slow disk is no error."""
    ask(directory, {"op": "start"}, None)


def signal(directory: Directory, number: int, is_for_all: bool) -> None:
    ask(directory, {"op": "signal", "signal": number, "all": is_for_all})


def has_started(directory: Directory) -> bool:
    """False also where the sentry is gone or does not answer."""
    try:
        return ask(directory, {"op": "status"}).get("status") != "created"
    except OciError:
        return False


def pids(directory: Directory) -> list[int]:
    """Host pids of every process inside."""
    found = ask(directory, {"op": "pids"}).get("pids")
    return [pid for pid in found if isinstance(pid, int) and pid > 0] if isinstance(found, list) else []
