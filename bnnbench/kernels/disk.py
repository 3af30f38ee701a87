"""What kernels keep on disk between processes: compiled code, and what was measured on this machine."""

import json
import os
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path


def folder() -> Path:
    """`$XDG_CACHE_HOME/bnnbench/kernels`, in `~/.cache` without the variable."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnnbench" / "kernels"


def keep(path: Path, content: bytes) -> None:
    """Writes a file that other processes may be writing, too: each its own, and the renamed one is always whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        part.write(content)
    Path(part.name).replace(path)


def tuning_file() -> Path:
    """Where `bnnbench kernels tune` keeps its choices; deleting it goes back to the built-in ones."""
    return folder() / "tuned.json"


@cache
def tuned(target: str) -> Mapping[str, int]:
    """Choices measured for a target ("avx2", "sm_90a") on this machine; empty where there are none to be read."""
    try:
        found = json.loads(tuning_file().read_text())[target]
        return {name: int(value) for name, value in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def keep_tuned(target: str, choices: Mapping[str, int]) -> None:
    """Keeps the choices for a target, beside those for others; they hold for processes that start later."""
    try:
        content = dict(json.loads(tuning_file().read_text()))
    except (OSError, ValueError, TypeError):
        content = {}
    content[target] = dict(choices)
    keep(tuning_file(), json.dumps(content, indent=1).encode())
