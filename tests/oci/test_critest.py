"""CRI conformance: cri-tools' `critest` at containerd with the runtime under test, where the program is given.

PYSENTRY_CRITEST=DIR holds `critest`. There is no registry here: the images it names are made of busybox and loaded, and
its tests of pulling are left out. What fails is in block_lists/critest.toml.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.harness.containerd import SOCKET, Containerd
from tests.harness.cri import Cri
from tests.harness.engine_images import archive_of, root_filesystem
from tests.harness.suites import judge, need_install
from tests.oci.conftest import Runtime

VARIABLE = "PYSENTRY_CRITEST"
TIMEOUT_S = 3000.0
LEFT_OUT = "benchmark|image|Image"
ENV = {"Env": ["PATH=/bin"]}
SERVER = ENV | {"Cmd": ["sh", "-c", "mkdir -p /www; echo nginx > /www/index.html; exec httpd -f -h /www -p 80"]}
ON_HOST = ENV | {"Cmd": ["sh", "-c", "mkdir -p /www; echo nginx > /www/index.html; exec httpd -f -h /www -p 12003"]}
STAGING = "gcr.io/k8s-staging-cri-tools"
IMAGES = (
    ("registry.k8s.io/e2e-test-images/busybox:1.29-2", ENV | {"Cmd": ["sh"]}),
    ("registry.k8s.io/e2e-test-images/nginx:1.14-2", SERVER),
    (f"{STAGING}/hostnet-nginx-amd64:latest", ON_HOST),
    (f"{STAGING}/test-image-predefined-group:latest", ENV | {"Cmd": ["sh"], "User": "1000"}),
    (f"{STAGING}/test-image-user-uid:latest", ENV | {"Cmd": ["sh"], "User": "1002"}),
    (f"{STAGING}/test-image-user-username:latest", ENV | {"Cmd": ["sh"], "User": "guest"}),
)


@pytest.fixture
def critest(cri_client: Cri, containerd_engine: Containerd) -> Iterator[Path]:
    directory = need_install(VARIABLE, "critest of kubernetes-sigs/cri-tools")
    images = containerd_engine.host.directory / "critest.tar"
    made = archive_of("critest-images", *((name, root_filesystem(), config) for name, config in IMAGES))
    shutil.copyfile(made, images)
    containerd_engine("-n", "k8s.io", "images", "import", images)
    yield directory / "critest"
    cri_client.clean()


def test_critest(critest: Path, containerd_engine: Containerd, oci_runtime: Runtime) -> None:
    host = containerd_engine.host
    reports = host.directory / "critest"
    reports.mkdir()
    endpoint = f"unix://{SOCKET}"
    done = host.run(
        [
            *(critest, f"-runtime-endpoint={endpoint}", f"-image-endpoint={endpoint}"),
            *(f"-ginkgo.skip={LEFT_OUT}", f"-ginkgo.junit-report={reports}/junit.xml"),
        ],
        status=None,
        timeout_s=TIMEOUT_S,
    )
    print(done)
    outcomes = {}
    for report in reports.glob("*.xml"):
        for case in ElementTree.parse(report).iter("testcase"):
            name = re.sub(r" \[[^]]*\]$", "", case.get("name", "")).removeprefix("[It] [k8s.io] ")
            skipped = case.find("skipped") is not None
            has_failed = case.find("failure") is not None or case.find("error") is not None
            outcomes[name] = "skip" if skipped else "fail" if has_failed else "pass"
    assert outcomes, f"critest wrote no report\n{done}"
    print({kind: list(outcomes.values()).count(kind) for kind in ("pass", "fail", "skip")})
    judge("critest", oci_runtime.name, outcomes)
