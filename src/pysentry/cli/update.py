"""`update`: new limits for a container, from a document or from options."""

from __future__ import annotations

import os

from pysentry.oci.cgroups.update import OPTIONS, REFUSED, document_of
from pysentry.oci.document import Fields, parse, read_bounded
from pysentry.oci.errors import UsageError
from pysentry.oci.processes import update_resources
from pysentry.oci.spec_resources import Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call


def update(call: Call) -> int:
    given = call.text("resources")
    resources = Resources(_read(given) if given else Fields(_document(call)))
    for warning in update_resources(call.store, call.words[0], resources):
        call.log.warn(warning)
    return 0


def _read(path: str) -> Fields:
    if path == "-":
        return parse(read_bounded(0), "stdin")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"open {path}: {(error.strerror or '').lower()}") from None
    try:
        return parse(read_bounded(fd), path)
    finally:
        os.close(fd)


def _document(call: Call) -> dict[str, object]:
    texts = {option: call.text(option.replace("-", "_")) for option in (*OPTIONS, *REFUSED)}
    return document_of({option: text for option, text in texts.items() if text})
