"""The network of pods that engines with CNI are given: a bridge `pods0`, addresses of 10.99.0.0/24."""

from __future__ import annotations

import json
from pathlib import Path

NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods0",
            "isGateway": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.99.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def write_pod_network(directory: Path) -> Path:
    """The directory of configurations for an engine, made below `directory`."""
    made = directory / "cni"
    made.mkdir(exist_ok=True)
    (made / "10-pods.conflist").write_text(json.dumps(NETWORK))
    return made
