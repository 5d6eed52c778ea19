"""`state`: what is known about one container, as JSON."""

from __future__ import annotations

from pysentry.cli.verbs import write_out
from pysentry.oci.ending import status_of
from pysentry.oci.state import STOPPED
from pysentry.sandbox.messages import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call
    from pysentry.oci.state import Directory
    from pysentry.sandbox.messages import Document


def state(call: Call) -> int:
    with call.store.look(call.words[0]) as directory:
        document = describe(directory)
    lines = [f"  {encode(name)}: {_indented(value)}" for name, value in document.items()]
    write_out("{\n" + ",\n".join(lines) + "\n}\n")
    return 0


def describe(directory: Directory) -> Document:
    """With the fields of runc's, in its order."""
    record = directory.load()
    status = status_of(directory, record)
    document: Document = {
        "ociVersion": record.oci_version,
        "id": record.identity,
        "pid": 0 if status == STOPPED else record.sentry.pid,
        "status": status,
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
    }
    if record.annotations:
        document["annotations"] = record.annotations
    return document | {"owner": owner_name(record.owner)}


def owner_name(uid: int) -> str:
    """ "" for the user's own, as runc shows it."""
    import os

    if uid == os.geteuid():
        return ""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _indented(value: object) -> str:
    if not isinstance(value, dict):
        return encode(value)
    return "{\n" + ",\n".join(f"    {encode(name)}: {encode(one)}" for name, one in value.items()) + "\n  }"
