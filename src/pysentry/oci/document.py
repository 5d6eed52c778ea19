"""Reading a JSON document that somebody else wrote: bounded, and every complaint names the field.

Owns the step from bytes to checked values. What fields there are is said by the classes that read them (spec.py,
spec_process.py, spec_linux.py, spec_resources.py): each takes a `Fields` and keeps what it found.
"""

from __future__ import annotations

import os
import stat

from pysentry.oci.errors import BundleError, SpecError
from pysentry.sandbox.messages import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping

MOST_BYTES = 8 << 20
"""No engine comes near: execve(2) takes at most 6 MiB of arguments and environment."""

INT32 = (-(1 << 31), (1 << 31) - 1)
INT64 = (-(1 << 63), (1 << 63) - 1)
UINT16 = (0, (1 << 16) - 1)
UINT32 = (0, (1 << 32) - 1)
UINT64 = (0, (1 << 64) - 1)


class Fields:
    """One object of the document. path: where it is, "" for the document itself.

    A field that is absent or null has its default, as Go's decoder does it. Fields that nobody asks for are ignored.
    """

    __slots__ = ("_values", "path")

    def __init__(self, value: object, path: str = "") -> None:
        if type(value) is not dict:
            raise SpecError(path, f"expected an object, got {_shown(value)}")
        self._values: dict[str, object] = value
        self.path = path

    def at(self, name: str) -> str:
        """The path of a field of this object."""
        return f"{self.path}.{name}" if self.path else name

    def fail(self, name: str, problem: str) -> SpecError:
        return SpecError(self.at(name), problem)

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def require(self, *names: str) -> None:
        """Those must be there, whatever they hold."""
        for name in names:
            if not self.has(name):
                raise self.fail(name, "required, but missing")

    def text(self, name: str, default: str = "") -> str:
        value = self._values.get(name)
        return default if value is None else checked_text(value, self.at(name))

    def choice(self, name: str, choices: Container[str]) -> str:
        """One of some words, or "" if absent."""
        value = self.text(name)
        if self.has(name) and value not in choices:
            raise self.fail(name, f"unknown value {_shown(value)}")
        return value

    def optional_flag(self, name: str) -> bool | None:
        value = self._values.get(name)
        if value is not None and type(value) is not bool:
            raise self.fail(name, f"expected true or false, got {_shown(value)}")
        return value

    def flag(self, name: str) -> bool:
        return bool(self.optional_flag(name))

    def optional_number(self, name: str, bounds: tuple[int, int]) -> int | None:
        value = self._values.get(name)
        return None if value is None else _number(value, bounds, self.at(name))

    def number(self, name: str, bounds: tuple[int, int], default: int = 0) -> int:
        value = self.optional_number(name, bounds)
        return default if value is None else value

    def _array(self, name: str) -> list[object]:
        value = self._values.get(name)
        if value is None:
            return []
        if type(value) is not list:
            raise self.fail(name, f"expected an array, got {_shown(value)}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        path = self.at(name)
        return tuple(checked_text(value, f"{path}[{at}]") for at, value in enumerate(self._array(name)))

    def choices(self, name: str, choices: Container[str]) -> tuple[str, ...]:
        found = self.texts(name)
        for at, value in enumerate(found):
            if value not in choices:
                raise self.fail(f"{name}[{at}]", f"unknown value {_shown(value)}")
        return found

    def numbers(self, name: str, bounds: tuple[int, int]) -> tuple[int, ...]:
        path = self.at(name)
        return tuple(_number(value, bounds, f"{path}[{at}]") for at, value in enumerate(self._array(name)))

    def section(self, name: str) -> Fields | None:
        value = self._values.get(name)
        return None if value is None else Fields(value, self.at(name))

    def sections(self, name: str) -> list[Fields]:
        path = self.at(name)
        return [Fields(value, f"{path}[{at}]") for at, value in enumerate(self._array(name))]

    def named_sections(self, name: str) -> dict[str, Fields]:
        """An object whose keys are names of the user's."""
        return {key: Fields(value, path) for key, (path, value) in self._named(name).items()}

    def mapping(self, name: str) -> dict[str, str]:
        """An object of strings."""
        return {key: checked_text(value, path) for key, (path, value) in self._named(name).items()}

    def _named(self, name: str) -> Mapping[str, tuple[str, object]]:
        section = self.section(name)
        if section is None:
            return {}
        return {
            checked_text(key, section.path): (f"{section.path}[{_shown(key)}]", value)
            for key, value in section._values.items()
        }


class _Repeated:
    """Stands for the values of a key that an object has more than once. What is meant cannot be known: parsers differ
    in which one wins, so a checker before us may have seen the other. It is of no type, so every reader refuses it."""


_REPEATED = _Repeated()


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                values[key] = _REPEATED
            seen.add(key)
    return values


def _shown(value: object) -> str:
    """A value in a message: short, printable, in JSON's words."""
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if value is _REPEATED:
        return "the same key twice"
    if type(value) is dict:
        return "an object"
    if type(value) is list:
        return "an array"
    if type(value) is int and value.bit_length() > 128:
        return "a number of hundreds of digits" if value.bit_length() > 512 else "a number that is too large"
    text = encode(value[:60]) if type(value) is str else ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def checked_text(value: object, path: str) -> str:
    """A string that can be a C string: no NUL, and encodable. A lone surrogate would else become a byte of its own."""
    if type(value) is not str:
        raise SpecError(path, f"expected a string, got {_shown(value)}")
    if "\0" in value:
        raise SpecError(path, "contains a NUL byte")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise SpecError(path, f"is not valid Unicode: {_shown(value)}") from None
    return value


def _number(value: object, bounds: tuple[int, int], path: str) -> int:
    if type(value) is not int:
        raise SpecError(path, f"expected an integer, got {_shown(value)}")
    if not bounds[0] <= value <= bounds[1]:
        raise SpecError(path, f"{_shown(value)} is not between {bounds[0]} and {bounds[1]}")
    return value


def parse(data: bytes, name: str) -> Fields:
    """The document's outermost object. `name` is what messages call the document, such as "config.json".

    Raises:
        SpecError: not UTF-8, not JSON (RFC 8259: no NaN, no control characters in strings), nested too deeply, too
            large, or no object.
    """
    if len(data) > MOST_BYTES:
        raise SpecError("", f"{name} is larger than {MOST_BYTES} bytes")
    try:
        value = decode(data.decode(), _object)
    except UnicodeDecodeError as error:
        raise SpecError("", f"{name} is not UTF-8 (byte {error.start})") from None
    except ValueError as error:
        problem = str(error) if len(data) and not data.isspace() else "unexpected end of JSON input"
        raise SpecError("", f"{name} is not valid JSON: {problem}") from None
    if type(value) is not dict:
        raise SpecError("", f"{name}: expected an object, got {_shown(value)}")
    return Fields(value)


def read_document(path: str, name: str, missing: str, is_regular: bool = True) -> Fields:
    """Reads and parses a file; arguments as read_file() and parse() have them. BundleError, SpecError."""
    return parse(read_file(path, missing, is_regular), name)


def read_file(path: str, missing: str, is_regular: bool = True) -> bytes:
    """A file, or as much of it as parse() needs to find it too large. `missing` is the message where there is none.
    is_regular: a FIFO or a device is refused, and never waited for.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | (os.O_NONBLOCK if is_regular else 0))
    except FileNotFoundError:
        raise BundleError(missing) from None
    except OSError as error:
        raise BundleError(f"open {path}: {words(error)}") from None
    except ValueError:
        raise BundleError(missing) from None  # a NUL byte in the path
    try:
        if is_regular and not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BundleError(f"{path}: not a regular file")
        return read_bounded(fd)
    except OSError as error:
        raise BundleError(f"read {path}: {words(error)}") from None
    finally:
        os.close(fd)


def read_bounded(fd: int) -> bytes:
    """Everything a descriptor gives, but no more than one byte above what parse() takes. OSError."""
    chunks = []
    left = MOST_BYTES + 1
    while left > 0 and (chunk := os.read(fd, min(left, 1 << 20))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def words(error: OSError) -> str:
    """strerror(3) as Go and so as runc spells it."""
    return os.strerror(error.errno or 0).lower()
