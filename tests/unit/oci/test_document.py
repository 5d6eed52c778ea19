"""JSON that somebody else wrote: bounded, one meaning only, and every complaint names the field."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pysentry.oci.document import INT64, MOST_BYTES, UINT32, Fields, parse, read_bounded, read_document
from pysentry.oci.errors import BundleError, SpecError


def complaint(data: bytes) -> str:
    with pytest.raises(SpecError) as caught:
        parse(data, "config.json")
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "config.json is not valid JSON: unexpected end of JSON input"),
        (b" \n", "config.json is not valid JSON: unexpected end of JSON input"),
        (b'{"a": [1, 2', "config.json is not valid JSON: "),
        (b'{"a": 1} trailing', "config.json is not valid JSON: Extra data"),
        (b'{"a": NaN}', "config.json is not valid JSON: NaN"),
        (b'{"a": -Infinity}', "config.json is not valid JSON: -Infinity"),
        (b'{"a": "x\ny"}', "config.json is not valid JSON: Invalid control character"),
        (b"{'a': 1}", "config.json is not valid JSON: "),
        (b'{"a": 1' + b"0" * 5000 + b"}", "config.json is not valid JSON: "),
        (b"[" * 200_000, "config.json is not valid JSON: nested too deeply"),
        (b'{"a":' * 200_000, "config.json is not valid JSON: nested too deeply"),
        (b"\xef\xbb\xbf{}", "config.json is not valid JSON: "),
        (b'{"a": "\xff"}', "config.json is not UTF-8 (byte 7)"),
        (b"[]", "config.json: expected an object, got an array"),
        (b"null", "config.json: expected an object, got null"),
        (b'"' + b"x" * MOST_BYTES + b'"', f"config.json is larger than {MOST_BYTES} bytes"),
    ],
)
def test_what_is_no_document(data: bytes, message: str) -> None:
    assert complaint(data).startswith(message)


def test_a_large_document_is_no_trouble() -> None:
    data = b'{"a": [' + b"[]," * 1_000_000 + b'[]], "b": 5}'
    assert parse(data, "x").number("b", UINT32) == 5


def test_a_key_that_is_there_twice_has_no_value() -> None:
    fields = parse(b'{"a": {"x": "1", "y": "2", "x": "3"}, "ignored": {"z": 1, "z": 2}}', "x")
    inner = fields.section("a")
    assert inner is not None
    assert inner.text("y") == "2"
    with pytest.raises(SpecError, match=r"^a\.x: expected a string, got the same key twice$"):
        inner.text("x")


VALUES: list[tuple[Any, str]] = [
    (None, "null"),
    (True, "true"),
    (5, "5"),
    (1.5, "1.5"),
    ("", '""'),
    ("it's", '"it\'s"'),
    ('a"b\n', r'"a\"b\n"'),
    ("x" * 100, '"' + "x" * 56 + "..."),
    ([1], "an array"),
    ({}, "an object"),
    (10**60, "a number that is too large"),
    (10**400, "a number of hundreds of digits"),
]


@pytest.mark.parametrize(("value", "text"), VALUES)
def test_a_value_of_a_wrong_type_is_shown(value: Any, text: str) -> None:
    reads = {
        "a string": lambda fields: fields.texts("f"),
        "an integer": lambda fields: fields.numbers("f", UINT32),
        "an object": lambda fields: fields.sections("f"),
    }
    for wanted, read in reads.items():
        if type(value) is {"a string": str, "an integer": int, "an object": dict}[wanted]:
            continue
        with pytest.raises(SpecError) as caught:
            read(Fields({"f": [value]}, "p"))
        assert str(caught.value) == f"p.f[0]: expected {wanted}, got {text}"
        assert caught.value.path == "p.f[0]"


def test_strings_can_be_c_strings() -> None:
    assert Fields({"f": "\u00e4\U0001f600"}).text("f") == "\u00e4\U0001f600"
    for value, message in (("a\0b", "f: contains a NUL byte"), ("\udc80", r'f: is not valid Unicode: "\\udc80"')):
        with pytest.raises(SpecError, match=f"^{message}$"):
            Fields({"f": value}).text("f")
        with pytest.raises(SpecError):
            Fields({"f": {value: "x"}}).mapping("f")


def test_numbers_have_bounds() -> None:
    assert Fields({"f": -(1 << 63)}).number("f", INT64) == -(1 << 63)
    for value in (-1, 1 << 32):
        with pytest.raises(SpecError, match=f"^f: {value} is not between 0 and 4294967295$"):
            Fields({"f": value}).number("f", UINT32)


def test_absent_and_null_are_the_default() -> None:
    for fields in (Fields({}), Fields({"f": None})):
        assert fields.text("f", "d") == "d"
        assert fields.number("f", UINT32, 7) == 7
        assert fields.optional_number("f", UINT32) is None
        assert fields.optional_flag("f") is None
        assert (fields.flag("f"), fields.texts("f"), fields.sections("f"), fields.section("f")) == (False, (), [], None)
        assert (fields.mapping("f"), fields.named_sections("f"), fields.choice("f", ("a",))) == ({}, {}, "")
        with pytest.raises(SpecError, match=r"^f: required, but missing$"):
            fields.require("f")


def test_the_path_of_a_name_of_the_users() -> None:
    with pytest.raises(SpecError, match=r'^linux\.sysctl\["a\.b"\]: expected a string, got 5$'):
        Fields({"sysctl": {"a.b": 5}}, "linux").mapping("sysctl")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(BundleError, match=r"^there is none$"):
        read_document(str(path), "x", "there is none")
    os.mkfifo(path)
    with pytest.raises(BundleError, match="not a regular file"):
        read_document(str(path), "x", "there is none")
    writer = threading.Thread(target=path.write_text, args=('{"a": "b"}',))
    writer.start()
    assert read_document(str(path), "x", "", is_regular=False).text("a") == "b"
    writer.join()
    with pytest.raises(BundleError, match="not a regular file"):
        read_document(str(tmp_path), "x", "")
    with pytest.raises(BundleError, match=r"^open .*: not a directory$"):
        read_document(str(path) + "/y", "x", "")


def test_reading_stops() -> None:
    fd = os.open("/dev/zero", os.O_RDONLY)
    try:
        assert len(read_bounded(fd)) == MOST_BYTES + 1
    finally:
        os.close(fd)
