"""Terminals of containers: the master that goes out over --console-socket, and the relay when we are in the foreground.

Owns both ends outside of the sandbox. The pty itself is made by gofer and sentry.
"""

from __future__ import annotations

import _socket
import os

from pysentry.oci.errors import ConsoleError

PATIENCE_S = 10.0


def check(has_terminal: bool, console_socket: str, is_detached: bool) -> None:
    """runc's rules and words. Raises ConsoleError."""
    if has_terminal and is_detached and not console_socket:
        raise ConsoleError("cannot allocate tty if runc will detach without setting console socket")
    if console_socket and not (has_terminal and is_detached):
        raise ConsoleError("cannot use console socket if runc will not detach or allocate tty")


def connect(path: str) -> _socket.socket:
    """A connection to an engine's socket. Raises ConsoleError, also where the queue of the listener stays full."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    sock.settimeout(PATIENCE_S)
    folder = -1
    try:
        address = path
        if len(os.fsencode(path)) > 107:
            folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            address = f"/proc/self/fd/{folder}/{os.path.basename(path)}"
        sock.connect(address)
        sock.setblocking(True)
    except OSError as error:
        sock.close()
        raise ConsoleError(f"dial unix {path}: connect: {error.strerror or 'timed out'}") from None
    finally:
        if folder >= 0:
            os.close(folder)
    return sock


def send_descriptor(path: str, fd: int, name: str) -> None:
    """One descriptor, with a name as the data, as the listeners of --console-socket and --pidfd-socket expect it.

    Raises ConsoleError.
    """
    sock = connect(path)
    try:
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))
        sock.sendmsg([name.encode()], [rights], _socket.MSG_NOSIGNAL)
    except OSError as error:
        raise ConsoleError(f"sendmsg {path}: {error.strerror}") from None
    finally:
        sock.close()


def send_pidfd(path: str, pid: int) -> None:
    """--pidfd-socket: our peer learns of the end without a pid that could be reused. Raises ConsoleError."""
    pidfd = os.pidfd_open(pid)
    try:
        send_descriptor(path, pidfd, "pidfd")
    finally:
        os.close(pidfd)


def own_size() -> tuple[int, int] | None:
    """Rows and columns of our own terminal: a program in the foreground starts with them. None: we have none."""
    try:
        columns, rows = os.get_terminal_size(0)
    except OSError:
        return None
    return rows, columns


class Relay:
    """Between our own terminal (0 and 1) and the master of a program in the foreground.

    Ours is in raw mode meanwhile, if it is one; its size is the program's. Use as a context manager.
    """

    BLOCK_BYTES = 32768

    def __init__(self, master: int) -> None:
        self.master = master
        self.is_reading = True
        self._saved: list[object] | None = None

    def __enter__(self) -> Relay:
        if os.isatty(0):
            import termios
            import tty

            self._saved = termios.tcgetattr(0)
            tty.setraw(0)
            modes = termios.tcgetattr(0)
            modes[1] |= termios.OPOST  # the program's terminal leaves the ends of lines to ours (pass_lines_on())
            termios.tcsetattr(0, termios.TCSADRAIN, modes)
            self.resize()
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()
        if self._saved is not None:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
        os.close(self.master)

    def resize(self) -> None:
        """After SIGWINCH: the kernel tells the program by a signal of its own."""
        if self._saved is None:
            return
        import fcntl
        import termios

        size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
        try:
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)
        except OSError:
            pass  # the program and its terminal are gone

    def copy_in(self) -> None:
        """What was typed. At the end of our input there is only output left to copy."""
        try:
            data = os.read(0, self.BLOCK_BYTES)
        except OSError:
            data = b""
        if data:
            _write_all(self.master, data)
        else:
            self.is_reading = False

    def copy_out(self) -> bool:
        """What the program printed; False: nobody has the terminal open any more."""
        try:
            data = os.read(self.master, self.BLOCK_BYTES)
        except OSError:  # EIO
            return False
        return bool(data) and _write_all(1, data)

    def drain(self) -> None:
        """What was printed before the end."""
        os.set_blocking(self.master, False)
        while self.copy_out():
            pass


def _write_all(fd: int, data: bytes) -> bool:
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        return False
    return True
