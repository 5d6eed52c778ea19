"""Reading and writing the small text files of a cgroup. Owns their formats, not what is in them."""

from __future__ import annotations

import os

NO_LIMIT = (1 << 64) - 1
"""What "max" of cgroup v2 reads as, and runc shows."""


def read(directory: str, name: str) -> str:
    """The text without its last newline.

    Raises:
        OSError: as open(2) and read(2).
    """
    fd = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while piece := os.read(fd, 65536):
            data += piece
    finally:
        os.close(fd)
    return data.decode("utf-8", "surrogateescape").rstrip("\n")


def read_or(directory: str, name: str, default: str = "") -> str:
    """`default` where the host does not have the file, or no longer: a container may end while it is looked at."""
    try:
        return read(directory, name)
    except OSError:
        return default


def write(directory: str, name: str, text: str) -> None:
    """One write(2): the kernel judges each write by itself. Never creates a file.

    Raises:
        OSError: as open(2), and the kernel's verdict on the value.
    """
    fd = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(fd, text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)


def number(text: str) -> int:
    """A counter or limit; "max" is NO_LIMIT, anything else that is no number 0."""
    if text == "max":
        return NO_LIMIT
    return int(text) if text.lstrip("-").isdecimal() else 0


def read_number(directory: str, name: str) -> int:
    return number(read_or(directory, name))


def read_table(directory: str, name: str) -> dict[str, int]:
    """Lines of a name and a number: memory.stat, cpu.stat, memory.events."""
    pairs = (line.split(" ", 1) for line in read_or(directory, name).splitlines() if " " in line)
    return {key: number(value) for key, value in pairs}


def expand_list(text: str) -> list[int]:
    """A list as cpuset(7) has it: "0-2,7" is [0, 1, 2, 7]."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            found.extend(range(int(first), int(last or first) + 1))
    return found
