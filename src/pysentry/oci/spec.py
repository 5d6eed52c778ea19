"""config.json of runtime-spec 1.0 to 1.2 as typed objects: what the document says, each value checked.

Owns the top of the document; spec_process.py, spec_linux.py and spec_resources.py own their parts. Every wrong type or
value is a SpecError that names the field. Unknown fields, and the sections of other platforms, are ignored. Does not
own whether the host can do what is asked (bundle.py) nor what it becomes (translate.py).
"""

from __future__ import annotations

from pysentry.oci.document import Fields, parse
from pysentry.oci.spec_linux import IdMapping, Linux
from pysentry.oci.spec_names import HOOKS
from pysentry.oci.spec_process import Process

VERSION = "1.2.0"
"""The newest runtime-spec that we know."""
VERSION_MIN = "1.0.0"


class Root:
    __slots__ = ("path", "readonly")

    def __init__(self, fields: Fields) -> None:
        fields.require("path")
        self.path = fields.text("path")
        self.readonly = fields.flag("readonly")


class Mount:
    """where: its path in the document."""

    __slots__ = ("destination", "gid_mappings", "options", "source", "type", "uid_mappings", "where")

    def __init__(self, fields: Fields) -> None:
        fields.require("destination")
        self.where = fields.path
        self.destination = fields.text("destination")
        self.type = fields.text("type")
        self.source = fields.text("source")
        self.options = fields.texts("options")
        self.uid_mappings = [IdMapping(mapping) for mapping in fields.sections("uidMappings")]
        self.gid_mappings = [IdMapping(mapping) for mapping in fields.sections("gidMappings")]


class Hook:
    """timeout_s: seconds, or None. args holds argv[0] too; empty: the path. env: None if not given."""

    __slots__ = ("args", "env", "path", "timeout_s")

    def __init__(self, fields: Fields) -> None:
        fields.require("path")
        self.path = fields.text("path")
        self.args = fields.texts("args")
        self.env = fields.texts("env") if fields.has("env") else None
        self.timeout_s = fields.optional_number("timeout", (1, (1 << 63) - 1))
        if not self.path.startswith("/"):
            raise fields.fail("path", f"{self.path!a} is not an absolute path")


class Spec:
    """hooks: by their kind (spec_names.HOOKS), each a list. linux is there even if the document has none."""

    __slots__ = (
        "annotations",
        "domainname",
        "hooks",
        "hostname",
        "linux",
        "mounts",
        "oci_version",
        "process",
        "root",
    )

    def __init__(self, fields: Fields) -> None:
        fields.require("ociVersion")
        self.oci_version = fields.text("ociVersion")
        if self.oci_version.split(".")[0] != "1":
            raise fields.fail("ociVersion", f"{self.oci_version!a} is not supported: expected 1.x")
        process = fields.section("process")
        self.process = Process(process) if process else None
        root = fields.section("root")
        self.root = Root(root) if root else None
        self.hostname = fields.text("hostname")
        self.domainname = fields.text("domainname")
        self.mounts = [Mount(mount) for mount in fields.sections("mounts")]
        hooks = fields.section("hooks") or Fields({}, "hooks")
        self.hooks = {kind: [Hook(hook) for hook in hooks.sections(kind)] for kind in HOOKS}
        self.annotations = fields.mapping("annotations")
        self.linux = Linux(fields.section("linux") or Fields({}, "linux"))


def decode_spec(data: bytes, name: str = "config.json") -> Spec:
    """SpecError as Fields and parse() raise it."""
    return Spec(parse(data, name))
