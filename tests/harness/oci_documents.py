"""config.json documents for tests: the smallest one, and one that has every field that we read."""

from __future__ import annotations

from typing import Any


def minimal() -> dict[str, Any]:
    return {
        "ociVersion": "1.0.2",
        "process": {"cwd": "/", "args": ["/bin/true"]},
        "root": {"path": "rootfs"},
    }


def full() -> dict[str, Any]:
    """Valid by runtime-spec's own schemas, and every field has a value of its own."""
    device = {"major": 8, "minor": 16}
    return {
        "ociVersion": "1.2.0",
        "hostname": "box",
        "domainname": "example.org",
        "annotations": {"org.example.key": "value", "dev.pysentry.platform": "ptrace"},
        "root": {"path": "rootfs", "readonly": True},
        "process": _process(),
        "hooks": {
            kind: [{"path": f"/usr/bin/{kind}", "args": [kind, "-v"], "env": ["A=b"], "timeout": 5}]
            for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            {"destination": "/data", "type": "bind", "source": "data", "options": ["rbind", "ro", "rprivate"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"},
                {"type": "network", "path": "/run/netns/pod"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "mount"},
                {"type": "user"},
                {"type": "cgroup"},
            ],
            "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
            "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}],
            "devices": [
                {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 432, "uid": 1, "gid": 2},
                {"path": "/dev/pipe", "type": "p"},
            ],
            "netDevices": {"eth0": {"name": "container_eth0"}},
            "cgroupsPath": "/pod/one",
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "access": "rw"} | device],
                "memory": {
                    "limit": 536870912,
                    "reservation": 268435456,
                    "swap": -1,
                    "kernel": -1,
                    "kernelTCP": -1,
                    "swappiness": 0,
                    "disableOOMKiller": False,
                    "useHierarchy": True,
                    "checkBeforeUpdate": True,
                },
                "cpu": {
                    "shares": 1024,
                    "quota": 100000,
                    "burst": 1000,
                    "period": 500000,
                    "realtimeRuntime": 950000,
                    "realtimePeriod": 1000000,
                    "cpus": "2-3",
                    "mems": "0-7",
                    "idle": 0,
                },
                "pids": {"limit": 32771},
                "blockIO": {
                    "weight": 10,
                    "leafWeight": 11,
                    "weightDevice": [device | {"weight": 500, "leafWeight": 300}],
                    "throttleReadBpsDevice": [device | {"rate": 601}],
                    "throttleWriteBpsDevice": [device | {"rate": 602}],
                    "throttleReadIOPSDevice": [device | {"rate": 603}],
                    "throttleWriteIOPSDevice": [device | {"rate": 604}],
                },
                "hugepageLimits": [{"pageSize": "2MB", "limit": 9223372036854771712}],
                "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
                "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
                "unified": {"memory.high": "1073741824"},
            },
            "rootfsPropagation": "slave",
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "defaultErrnoRet": 38,
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
                "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "listenerPath": "/run/listener",
                "listenerMetadata": "opaque",
                "syscalls": [
                    {
                        "names": ["getcwd", "chmod"],
                        "action": "SCMP_ACT_ERRNO",
                        "errnoRet": 1,
                        "args": [{"index": 1, "value": 2080505856, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}],
                    }
                ],
            },
            "sysctl": {"net.ipv4.ip_forward": "1"},
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
            "mountLabel": "system_u:object_r:svirt_sandbox_file_t:s0",
            "intelRdt": {
                "closID": "guaranteed",
                "schemata": ["L3:0=ff"],
                "l3CacheSchema": "L3:0=7f0",
                "memBwSchema": "MB:0=20",
                "enableMonitoring": True,
            },
            "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]},
            "personality": {"domain": "LINUX", "flags": ["NONE"]},
            "timeOffsets": {"monotonic": {"secs": 172800, "nanosecs": 1}, "boottime": {"secs": -604800}},
        },
    }


def _process() -> dict[str, Any]:
    return {
        "terminal": True,
        "consoleSize": {"height": 25, "width": 80},
        "user": {"uid": 1, "gid": 2, "umask": 63, "additionalGids": [5, 6], "username": "nobody"},
        "args": ["sh", "-c", "true"],
        "env": ["PATH=/usr/bin:/bin", "TERM=xterm", "EMPTY="],
        "cwd": "/srv",
        "commandLine": "none",
        "capabilities": {
            "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL"],
            "effective": ["CAP_KILL"],
            "inheritable": ["CAP_KILL", "CAP_CHOWN"],
            "permitted": ["CAP_KILL", "CAP_SETUID"],
            "ambient": ["CAP_NET_BIND_SERVICE"],
        },
        "rlimits": [
            {"type": "RLIMIT_CORE", "hard": 1024, "soft": 1023},
            {"type": "RLIMIT_NOFILE", "hard": 18446744073709551615, "soft": 1024},
        ],
        "noNewPrivileges": True,
        "apparmorProfile": "acme_secure_profile",
        "selinuxLabel": "system_u:system_r:svirt_lxc_net_t:s0:c124,c675",
        "oomScoreAdj": 100,
        "scheduler": {
            "policy": "SCHED_DEADLINE",
            "nice": 1,
            "priority": 2,
            "flags": ["SCHED_FLAG_RESET_ON_FORK"],
            "runtime": 3,
            "deadline": 4,
            "period": 5,
        },
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 4},
        "execCPUAffinity": {"initial": "7", "final": "0-3,7"},
    }
