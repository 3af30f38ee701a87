"""The machine and the software that produced results, without host names, user names and paths."""

import hashlib
import json
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path
from typing import Any

import bnnbench
from bnnbench.errors import UserError
from bnnbench.harness.device import visible_gpus
from bnnbench.harness.files import read_json, write_json
from bnnbench.harness.registry import DATASETS, METHODS, PAPERS

BESIDES = ("jaxlib", "llvmlite", "cupy-cuda12x", "pytest-benchmark", "laplace-torch", "pyro-ppl")
"""Packages that affect numbers and timings, in addition to those that bnnbench requires."""


def capture() -> dict[str, Any]:
    """A description of this machine; a part that cannot be read is `None` and never an error."""
    content: dict[str, Any] = {
        "bnnbench": bnnbench.__version__,
        **git_state(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": _gpus(),
        "packages": {name: version for name in _packages() if (version := _version(name))},
    }
    return {"id": _digest(content), **content}


def note(folder: Path) -> str:
    """Captures this environment, keeps it below `folder` (the results of a scale), and returns its id."""
    content = capture()
    path = _path(folder, content["id"])
    if noted(folder, content["id"]) != content:
        write_json(path, content)
    return str(content["id"])


def noted(folder: Path, identifier: str) -> dict[str, Any]:
    """The environment that was kept under `identifier`; empty where there is none or its file is damaged."""
    try:
        return read(_path(folder, identifier))
    except UserError:
        return {}


def read(path: Path) -> dict[str, Any]:
    """The environment in a file; `UserError` where it does not match the name of the file."""
    try:
        content = read_json(path)
        if _digest({name: value for name, value in content.items() if name != "id"}) != path.stem:
            raise ValueError("it was changed since it was written")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not an environment ({error}); delete it") from error
    return dict(content)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=6).hexdigest()


def _path(folder: Path, identifier: str) -> Path:
    return folder / "environments" / f"{identifier}.json"


def git_state() -> dict[str, Any]:
    """Commit of the code and whether the working tree differs from it; both are `None` outside a git checkout."""
    folder = Path(__file__).parent
    if _output("git", "-C", str(folder), "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return {"commit": None, "dirty": None}  # installed as a package, perhaps below a checkout of another project
    commit = _output("git", "-C", str(folder), "rev-parse", "HEAD")
    changed = _output("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if commit is None else bool(changed)}


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


def _packages() -> list[str]:
    """The packages that bnnbench requires, those in `BESIDES`, and those that register papers, methods or data sets."""
    asked = [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in requires("bnnbench") or () if "extra ==" not in line]
    points = [point for group in (PAPERS, METHODS, DATASETS) for point in entry_points(group=group)]
    others = [point.dist.name for point in points if point.dist is not None]
    return sorted({*asked, *BESIDES, *others} - {"bnnbench"})


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _gpus() -> list[str]:
    if not visible_gpus():
        return []
    listing = _output("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return listing.splitlines() if listing else ["unknown"] * len(visible_gpus())
