"""A process description survives the way through a control socket."""

from __future__ import annotations

from pysentry.sandbox.messages import decode, encode
from pysentry.sandbox.process import Capabilities, ProcessSpec


def round_trip(spec: ProcessSpec) -> ProcessSpec:
    document = decode(encode(spec.to_document()))
    assert isinstance(document, dict)
    return ProcessSpec.from_document(document)


def values(spec: ProcessSpec) -> dict[str, object]:
    found: dict[str, object] = {name: getattr(spec, name) for name in spec.__slots__}
    if spec.caps is not None:
        found["caps"] = [getattr(spec.caps, name) for name in spec.caps.__slots__]
    return found


def test_the_least() -> None:
    spec = ProcessSpec(["true"], {})
    assert values(round_trip(spec)) == values(spec)


def test_everything() -> None:
    spec = ProcessSpec(["a", "b\udcff"], {"A": "1"}, "/tmp")
    spec.uid, spec.gid, spec.groups, spec.umask = 1, 2, (3, 4), 0o77
    spec.caps = Capabilities(1, 2, 3, 4, 5)
    spec.rlimits = {7: (1024, 2048), 4: (0, (1 << 64) - 1)}
    spec.no_new_privs, spec.oom_score_adj, spec.seccomp = True, -5, b"\x06\0\0\0\0\0\xff\x7f"
    spec.terminal, spec.console_size = True, (24, 80)
    assert values(round_trip(spec)) == values(spec)
