"""`features` says what is true, and the config.json of `spec` works. Their shape is test_schema_oracle.py's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pysentry.oci.bundle import open_bundle
from pysentry.oci.features import default_config, features_document
from pysentry.oci.settings import Settings
from pysentry.oci.spec_names import HOOKS, SECCOMP_ACTIONS
from pysentry.oci.translate import run_config


def test_features() -> None:
    document = json.loads(json.dumps(features_document("9.9")))
    assert (document["ociVersionMin"], document["ociVersionMax"]) == ("1.0.0", "1.2.0")
    assert document["hooks"] == list(HOOKS)
    assert {"rbind", "ro", "rro", "tmpcopyup", "rprivate"} <= set(document["mountOptions"])
    assert "remount" not in document["mountOptions"]
    linux = document["linux"]
    assert "time" not in linux["namespaces"]
    assert set(SECCOMP_ACTIONS) - set(linux["seccomp"]["actions"]) == {"SCMP_ACT_NOTIFY"}
    assert not any(linux[name]["enabled"] for name in ("apparmor", "selinux", "intelRdt", "netDevices"))
    assert document["annotations"]["dev.pysentry.version"] == "9.9"


@pytest.mark.parametrize("is_rootless", [False, True])
def test_the_default_bundle_is_a_container(tmp_path: Path, is_rootless: bool) -> None:
    (tmp_path / "config.json").write_text(json.dumps(default_config(is_rootless, 1000, 1001)))
    (tmp_path / "rootfs").mkdir()
    config, warnings = run_config(open_bundle(str(tmp_path)), Settings())
    assert warnings == []
    assert config.argv == ["sh"]
    assert config.process is not None
    assert config.process.terminal
    assert not config.root_writable
    assert config.net == "none"
    assert (config.uid_map, config.gid_map) == (([(0, 1000, 1)], [(0, 1001, 1)]) if is_rootless else ([], []))
    assert ("gid" in config.mounts[2].options) is not is_rootless
