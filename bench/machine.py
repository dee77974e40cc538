"""The machine that the figures are from."""

import datetime
import os
import platform
import shlex
import subprocess
from pathlib import Path


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def virtual() -> str:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return " (virtual machine)" if " hypervisor" in flags else ""


def compiler() -> str:
    command = [*shlex.split(os.environ.get("CC", "cc")), "--version"]
    return subprocess.run(command, capture_output=True, text=True).stdout.partition("\n")[0]


def describe() -> dict[str, str]:
    cores = len(os.sched_getaffinity(0))
    return {
        "processor": f"{cpu_model()}, {cores} cores{virtual()}",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": compiler(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
