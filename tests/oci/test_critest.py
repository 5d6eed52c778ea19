"""CRI conformance: cri-tools' `critest` at containerd and CRI-O with the runtime under test, where it is given.

PYSENTRY_CRITEST=DIR holds `critest`. There is no registry here: the images it names are made of busybox and loaded, and
its tests of pulling are left out. What fails is in block_lists/critest-containerd.toml and critest-crio.toml.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.harness.containerd import Containerd
from tests.harness.cri import Cri
from tests.harness.crio import Crio
from tests.harness.engine_images import archive_of, root_filesystem
from tests.harness.programs import made_once, need
from tests.harness.suites import judge, need_install
from tests.oci.conftest import Runtime

VARIABLE = "PYSENTRY_CRITEST"
TIMEOUT_S = 3000.0
LEFT_OUT = "benchmark|image|Image"
ENV = {"Env": ["PATH=/bin"], "StopSignal": "SIGKILL"}
"""Their first processes ignore SIGTERM, and CRI-O waits as long as the call may take: 300 s."""
PAGE = "mkdir -p /www /var/run; echo nginx > /www/index.html; echo $$ > /var/run/nginx.pid; echo httpd"
SERVER = ENV | {"Cmd": ["nginx", "master process"]}
ON_HOST = ENV | {"Cmd": ["sh", "-c", f"{PAGE}; exec httpd -f -h /www -p 12003"]}
PRIVILEGES = """
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    printf("Effective uid: %d\\n", (int)geteuid());
    return 0;
}
"""
SCRIPTS = {  # in the images; Debian's busybox has no such applets
    "ipcs": "cat /proc/sysvipc/shm",
    "nginx": f"{PAGE}; httpd -f -h /www -p 80",
    "pgrep": "ps -o pid,comm | awk -v name=$1 '$2 ~ name {print $1}'",
}
LOCAL_PORTS = """echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
iptables -t nat -A POSTROUTING -s 127.0.0.0/8 ! -d 127.0.0.0/8 -j MASQUERADE"""
"""What kube-proxy sees to on a node: ports that pods map answer at 127.0.0.1."""
STAGING = "gcr.io/k8s-staging-cri-tools"
IMAGES = (
    ("registry.k8s.io/e2e-test-images/busybox:1.29-2", ENV | {"Cmd": ["sh"]}),
    ("registry.k8s.io/e2e-test-images/nginx:1.14-2", SERVER),
    ("registry.k8s.io/e2e-test-images/httpd:2.4.39-4", SERVER),
    ("registry.k8s.io/e2e-test-images/nonewprivs:1.3", ENV | {"Cmd": ["privileges"]}),
    (f"{STAGING}/hostnet-nginx-amd64:latest", ON_HOST),
    (f"{STAGING}/test-image-predefined-group:latest", ENV | {"Cmd": ["sh"], "User": "1000"}),
    (f"{STAGING}/test-image-user-uid:latest", ENV | {"Cmd": ["sh"], "User": "1002"}),
    (f"{STAGING}/test-image-user-username:latest", ENV | {"Cmd": ["sh"], "User": "guest"}),
)


def root_of_images() -> Path:
    """Busybox; a set-user-id program; `ls` a file of its own, as it is masked; the user nobody."""

    def make(directory: Path) -> None:
        shutil.copytree(root_filesystem(), directory, symlinks=True, dirs_exist_ok=True)
        programs = directory / "bin"
        (programs / "ls").unlink()
        shutil.copy(programs / "applets", programs / "ls")
        with (directory / "etc/passwd").open("a") as users:
            users.write("nobody:x:65534:65534:nobody:/:/bin/sh\n")
        source = directory / "privileges.c"
        source.write_text(PRIVILEGES)
        subprocess.run([need("gcc", "gcc"), "-static", "-o", programs / "privileges", source], check=True)
        source.unlink()
        (programs / "privileges").chmod(0o4755)
        for name, script in SCRIPTS.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)

    return made_once("critest-root", make)


@pytest.fixture
def critest(cri_client: Cri, cri_engine: Containerd | Crio) -> Iterator[Path]:
    directory = need_install(VARIABLE, "critest of kubernetes-sigs/cri-tools")
    cri_engine.load(archive_of("critest-images", *((name, root_of_images(), config) for name, config in IMAGES)))
    cri_engine.host.run(["sh", "-ec", LOCAL_PORTS])
    yield directory / "critest"
    cri_client.clean()


def test_critest(critest: Path, cri_engine: Containerd | Crio, oci_runtime: Runtime) -> None:
    host = cri_engine.host
    reports = Path(tempfile.mkdtemp(dir=host.directory))
    endpoint = f"unix://{cri_engine.socket}"
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
    judge(f"critest-{type(cri_engine).__name__.lower()}", oci_runtime.name, outcomes)
