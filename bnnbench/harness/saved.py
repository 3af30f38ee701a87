"""States in files: tensors, numbers, texts and containers of them, with a digest that reveals damage."""

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from bnnbench.harness.files import read_regular, write_atomic

_MARK = b"bnnbench state "


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes the state completely or not at all."""
    import torch

    buffer = BytesIO()  # torch.save into a file would raise a RuntimeError for a full disk
    torch.save(dict(content), buffer)
    body = buffer.getvalue()
    write_atomic(path, _MARK + _digest(body) + b"\n" + body)


def read(path: Path) -> dict[str, Any] | None:
    """The state in a file, on the CPU; `None` where there is none or it is damaged, so that the fit starts over."""
    try:
        head, _, body = read_regular(path).partition(b"\n")
    except OSError:
        return None
    if head != _MARK + _digest(body):
        return None
    import torch

    try:
        content = torch.load(BytesIO(body), map_location="cpu", weights_only=True)
    except Exception:  # a file of another version of torch may raise anything
        return None
    return content if isinstance(content, dict) else None


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).hexdigest().encode()
