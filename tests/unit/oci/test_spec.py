"""config.json as typed objects. That the right values are refused is test_schema_oracle.py's, with the schemas."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pysentry.oci.document import Fields, parse
from pysentry.oci.errors import SpecError, UsageError
from pysentry.oci.spec import Spec, decode_spec
from pysentry.oci.spec_names import CAPABILITIES, HOOKS, RLIMITS, signal_number
from pysentry.oci.spec_process import Process
from pysentry.oci.spec_resources import Resources
from tests.harness.oci_documents import full, minimal


def values(thing: Any) -> Any:
    """An object of ours as plain data."""
    if isinstance(thing, (list, tuple)):
        return [values(one) for one in thing]
    if isinstance(thing, dict):
        return {key: values(one) for key, one in thing.items()}
    if hasattr(thing, "__slots__") and type(thing).__module__.startswith("pysentry"):
        return {name: values(getattr(thing, name)) for name in thing.__slots__}
    return thing


def complaint(document: Any) -> str:
    with pytest.raises(SpecError) as caught:
        Spec(Fields(document))
    return str(caught.value)


def test_the_least() -> None:
    spec = decode_spec(json.dumps(minimal()).encode())
    assert spec.process is not None
    assert spec.process.args == ("/bin/true",)
    assert spec.process.capabilities is None
    assert (spec.hostname, spec.mounts, spec.annotations) == ("", [], {})
    assert spec.linux.resources is None
    assert list(spec.hooks) == list(HOOKS)
    assert not any(spec.hooks.values())


def test_nothing_is_lost() -> None:
    """Every number and string of a document that has all fields is found again, in the right place."""
    spec = Spec(Fields(full()))
    process = spec.process
    assert process is not None
    assert values(process.user) == {"uid": 1, "gid": 2, "umask": 63, "additional_gids": [5, 6]}
    assert process.console_size == (25, 80)
    assert process.capabilities is not None
    assert process.capabilities["inheritable"] == ("CAP_KILL", "CAP_CHOWN")
    assert [(limit.type, limit.soft, limit.hard) for limit in process.rlimits] == [
        ("RLIMIT_CORE", 1023, 1024),
        ("RLIMIT_NOFILE", 1024, (1 << 64) - 1),
    ]
    assert (process.oom_score_adj, process.no_new_privileges, process.terminal) == (100, True, True)
    assert values(process.scheduler)["deadline"] == 4
    assert values(process.io_priority) == {"io_class": "IOPRIO_CLASS_IDLE", "priority": 4}
    hook = spec.hooks["poststop"][0]
    assert values(hook) == {"path": "/usr/bin/poststop", "args": ["poststop", "-v"], "env": ["A=b"], "timeout_s": 5}
    linux = spec.linux
    assert [(one.name, one.path) for one in linux.namespaces][:2] == [("pid", ""), ("network", "/run/netns/pod")]
    assert linux.time_offsets == {"monotonic": (172800, 1), "boottime": (-604800, 0)}
    assert values(linux.devices[0]) == {
        "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "file_mode": 432, "uid": 1, "gid": 2,
        "where": "linux.devices[0]",
    }  # fmt: skip
    resources = linux.resources
    assert resources is not None
    assert resources.block_io is not None
    rates = [getattr(resources.block_io, name)[0].rate for name in ("read_bps", "write_bps", "read_iops", "write_iops")]
    assert rates == [601, 602, 603, 604]
    assert values(resources.cpu) == {
        "shares": 1024, "quota": 100000, "burst": 1000, "period": 500000, "realtime_runtime": 950000,
        "realtime_period": 1000000, "cpus": "2-3", "mems": "0-7", "idle": 0,
    }  # fmt: skip
    assert values(resources.memory)["swap"] == -1
    assert (resources.pids_limit, resources.unified) == (32771, {"memory.high": "1073741824"})
    assert values(resources.network) == {"class_id": 1048577, "priorities": {"eth0": 500}}
    rule = values(linux.seccomp)["syscalls"][0]
    assert rule["args"] == [{"index": 1, "value": 2080505856, "value_two": 1, "op": "SCMP_CMP_MASKED_EQ"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ociVersion": "2.0.0"}, "ociVersion: '2.0.0' is not supported: expected 1.x"),
        ({"ociVersion": None}, "ociVersion: required, but missing"),
        ({"process": {"cwd": "/", "args": ["sh", 5]}}, "process.args[1]: expected a string, got 5"),
        ({"process": {"args": ["sh"]}}, "process.cwd: required, but missing"),
        ({"process": {"cwd": "/", "user": {"uid": -1}}}, "process.user.uid: -1 is not between 0 and 4294967295"),
        (
            {"process": {"cwd": "/", "rlimits": [{"type": "RLIMIT_x", "soft": 1, "hard": 1}]}},
            "process.rlimits[0].type: wrong rlimit value: RLIMIT_x",
        ),
        ({"linux": {"namespaces": [{"type": "netwrk"}]}}, 'linux.namespaces[0].type: unknown value "netwrk"'),
        ({"linux": {"resources": {"pids": {}}}}, "linux.resources.pids.limit: required, but missing"),
        ({"linux": {"rootfsPropagation": "x"}}, "linux.rootfsPropagation: rootfsPropagation=x is not supported"),
        ({"linux": {"resources": {"unified": {"../x": "1"}}}}, "linux.resources.unified: '../x' is not a file"),
        ({"linux": {"seccomp": {}}}, "linux.seccomp.defaultAction: required, but missing"),
        ({"hooks": {"prestart": [{"path": "sh"}]}}, "hooks.prestart[0].path: 'sh' is not an absolute path"),
        ({"mounts": [{}]}, "mounts[0].destination: required, but missing"),
        ({"annotations": {"a": 1}}, 'annotations["a"]: expected a string, got 1'),
        ({"root": []}, "root: expected an object, got an array"),
    ],
)
def test_complaints_name_the_field(change: dict[str, Any], message: str) -> None:
    assert complaint(minimal() | change).startswith(message)


def test_what_is_not_known_is_ignored() -> None:
    document = minimal() | {"windows": 5, "later": {"deep": []}, "vm": "x"}
    document["process"]["newest"] = {"x": 1}
    assert Spec(Fields(document)).process is not None


def test_documents_of_other_verbs() -> None:
    """`exec --process` and `update --resources` read parts of the same document; paths begin there."""
    assert Process(parse(b'{"cwd": "/", "args": ["x"]}', "process.json")).path == ""
    with pytest.raises(SpecError, match=r"^args\[0\]: expected a string, got 1$"):
        Process(parse(b'{"cwd": "/", "args": [1]}', "process.json"))
    resources = Resources(parse(b'{"memory": {"limit": 5}, "pids": {"limit": -1}}', "resources"))
    assert resources.memory is not None
    assert (resources.memory.limit, resources.pids_limit) == (5, -1)
    with pytest.raises(SpecError, match=r"^memory\.limit: expected an integer"):
        Resources(parse(b'{"memory": {"limit": "1G"}}', "resources"))


def test_names_and_numbers() -> None:
    assert (CAPABILITIES["CAP_CHOWN"], CAPABILITIES["CAP_CHECKPOINT_RESTORE"], len(CAPABILITIES)) == (0, 40, 41)
    assert (RLIMITS["RLIMIT_CPU"], RLIMITS["RLIMIT_NOFILE"], RLIMITS["RLIMIT_RTTIME"]) == (0, 7, 15)


@pytest.mark.parametrize(
    ("word", "number"),
    [("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("0", 0), ("64", 64), ("RTMIN+3", 37), ("RTMAX-30", 34)],
)
def test_signals(word: str, number: int) -> None:
    assert signal_number(word) == number


@pytest.mark.parametrize(
    "word", ["", "65", "-1", "9x", "FOO", "SIGSIG", "SIG_IGN", "RTMIN+99", "RTMAX-31", "RTMAX+1", "\u0663", "9" * 5000]
)
def test_no_signals(word: str) -> None:
    with pytest.raises(UsageError, match=r'^unknown signal "'):
        signal_number(word)


# ---- hostile documents ---------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=0, max_value=1 << 70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["/", "CAP_KILL", "RLIMIT_NOFILE", "SCMP_ACT_ALLOW", "bind", "1.0.0", "\0", "\ud800", "net."]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def graft(document: Any, value: Any, choose: random.Random) -> Any:
    """The document with the value somewhere in it."""
    made = copy.deepcopy(document)
    inner, steps = made, choose.randrange(1, 8)
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not keys:
            return made
        key = choose.choice(keys)
        steps -= 1
        if steps and isinstance(inner[key], (dict, list)):
            inner = inner[key]
        else:
            inner[key] = value
            return made


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(JSON, st.randoms(use_true_random=False))
def test_a_mutated_document_gives_a_spec_or_a_spec_error(value: Any, choose: random.Random) -> None:
    document = graft(full(), value, choose)
    try:
        Spec(Fields(document))
    except SpecError as error:
        str(error).encode()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(min_value=0, max_value=4000), st.integers(min_value=0, max_value=40))
def test_damaged_bytes_give_a_spec_or_a_spec_error(noise: bytes, at: int, length: int) -> None:
    data = json.dumps(full()).encode()
    try:
        decode_spec(data[:at] + noise + data[at + length :])
    except SpecError as error:
        str(error).encode()


def test_every_truncation_is_refused() -> None:
    data = json.dumps(full()).encode()
    for end in range(0, len(data), 7):
        with pytest.raises(SpecError, match=r"^config\.json is not valid JSON: "):
            decode_spec(data[:end])
