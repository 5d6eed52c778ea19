"""The decoder against runtime-spec's own JSON schemas: what they refuse we refuse, naming the field; what they accept
we accept, but for the differences that are listed with their reasons.

The schemas are not ours and not in the repository: PYSENTRY_RUNTIME_SPEC is a checkout of opencontainers/runtime-spec.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysentry.oci.document import Fields
from pysentry.oci.errors import SpecError
from pysentry.oci.features import default_config, features_document
from pysentry.oci.spec import Spec, decode_spec
from pysentry.oci.spec_names import HOOKS
from tests.harness.oci_documents import full, minimal

CHECKOUT = os.environ.get("PYSENTRY_RUNTIME_SPEC", "")
jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed (pip install -e .[dev])")

pytestmark = pytest.mark.skipif(
    not CHECKOUT, reason="PYSENTRY_RUNTIME_SPEC=DIR (a checkout of opencontainers/runtime-spec) is not set"
)

Where = tuple[str | int, ...]

WRONG: tuple[Any, ...] = (True, 5, -1, 1.5, 70000, 1 << 70, "", "x", [], ["x"], [5], {}, {"x": 5}, {"x": "y"})
NAMED = ("annotations", "linux.netDevices", "linux.resources.rdma", "linux.resources.unified", "linux.sysctl")
"""Objects whose keys are the user's."""
HUGE = 1 << 70

# (field, value) where we differ on purpose.
LENIENT = {
    ("linux.intelRdt.memBwSchema", ""),  # Go's decoder, and so every engine, takes "" for "not given"
    ("linux.rootfsPropagation", ""),
    ("linux.devices.*.fileMode", 70000),  # engines leave S_IFCHR in it
}
STRICT = {
    ("linux.resources.devices.*.access", "x"),  # config-linux.md lists the letters
    ("linux.resources.devices.*.type", "x"),
    ("linux.seccomp.syscalls.*.args.*.index", 70000),  # a call has six
    ("ociVersion", ""),  # 1.x only
    ("ociVersion", "x"),
    ("process.oomScoreAdj", HUGE),  # -1000 .. 1000 on Linux
    ("process.oomScoreAdj", 70000),
}
for kind in HOOKS:
    STRICT |= {(f"hooks.{kind}.*.path", ""), (f"hooks.{kind}.*.path", "x")}  # config.md: MUST be absolute
    STRICT |= {(f"hooks.{kind}.*.timeout", HUGE)}


@pytest.fixture(scope="module")
def is_valid() -> Any:
    """is_valid(document, schema file) by the schemas alone."""
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    files = Path(CHECKOUT, "schema").glob("*.json")
    resources = [(f"http://localhost/{file.name}", Resource(json.loads(file.read_text()), DRAFT4)) for file in files]
    registry: Any = Registry().with_resources(resources)
    validators = {
        name: jsonschema.Draft4Validator({"$ref": f"http://localhost/{name}"}, registry=registry)
        for name in ("config-schema.json", "features-schema.json")
    }
    return lambda document, name="config-schema.json": validators[name].is_valid(document)


def problem(document: Any) -> SpecError | None:
    """What we say. Anything but a Spec or a SpecError is a bug."""
    try:
        Spec(Fields(document))
    except SpecError as error:
        return error
    return None


def paths(value: Any, at: Where = ()) -> Iterator[Where]:
    """Every place in a document, the outermost first."""
    if at:
        yield at
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*at, key))


def replaced(document: Any, path: Where, value: Any) -> Any:
    made = copy.deepcopy(document)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


def spelled(path: Where) -> str:
    """As a JSON schema would have it, with * for what is a name or an index."""
    return ".".join("*" if isinstance(key, int) else key for key in path)


def test_documents_that_we_write_are_valid(is_valid: Any) -> None:
    for document in (minimal(), full(), default_config(), default_config(True, 1000, 1000)):
        assert is_valid(document)
        assert problem(document) is None
    assert is_valid(features_document("1.0"), "features-schema.json")


def test_good_and_bad_documents_of_the_specification(is_valid: Any) -> None:
    directory = Path(CHECKOUT, "schema/test/config")
    good = [path.read_bytes() for path in directory.glob("good/*.json")]
    assert len(good) > 5
    for data in good:
        decode_spec(data.replace(b'"0.5.0-dev"', b'"1.0.0"'))  # versions before 1.0 are not ours
    bad = [path for path in directory.glob("bad/*.json") if "freebsd" not in path.name]
    assert len(bad) > 3
    for path in bad:
        with pytest.raises(SpecError):
            decode_spec(path.read_bytes())


def test_a_wrong_value_in_any_field(is_valid: Any) -> None:
    document = full()
    lenient, strict = set(), set()
    for path in paths(document):
        for value in WRONG:
            changed = replaced(document, path, value)
            error = problem(changed)
            if error is not None:
                assert error.path.startswith(shown(path)), (path, value, str(error))
            if (error is None) != is_valid(changed):
                (lenient if error is None else strict).add((spelled(path), value))
    assert lenient == LENIENT
    assert strict == STRICT


def test_a_field_that_is_missing(is_valid: Any) -> None:
    """Absent is as the schemas say, and null is absent."""
    document = full()
    for path in paths(document):
        if isinstance(path[-1], int):
            continue
        changed = copy.deepcopy(document)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        error = problem(changed)
        assert (error is None) == is_valid(changed), path
        if ".".join(map(str, path[:-1])) not in NAMED:
            with_null = problem(replaced(document, path, None))
            assert str(with_null) == str(error)


def shown(path: Where) -> str:
    """As our messages spell it."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif text in NAMED:
            text += f'["{key}"]'
        else:
            text += f".{key}" if text else key
    return text
