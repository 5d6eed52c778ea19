"""`features` and `spec`: what this runtime can do, and a config.json to start from."""

from __future__ import annotations

import os

from pysentry.cli.verbs import write_out
from pysentry.oci.errors import OciError
from pysentry.oci.features import default_config, features_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.cli.verbs import Call


def features(call: Call) -> int:
    import json

    from pysentry import __version__

    write_out(json.dumps(features_document(__version__), indent=2) + "\n")
    return 0


def spec(call: Call) -> int:
    import json

    path = os.path.join(call.text("bundle"), "config.json")
    document = default_config(call.flag("rootless"), os.getuid(), os.getgid())
    try:
        with open(path, "x") as file:
            file.write(json.dumps(document, indent="\t") + "\n")
    except FileExistsError:
        raise OciError("file config.json exists. Remove it first") from None
    except OSError as error:
        raise OciError(f"open {path}: {(error.strerror or '').lower()}") from None
    return 0
