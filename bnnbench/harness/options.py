"""The options of methods, checked by the methods themselves when the plan is made, before any net is trained.

The parameters of a method are defined in its module, which imports torch and other slow packages. So sets of options
that passed are remembered in the cache, under a hash that includes the code of the methods, and are not checked again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnnbench.harness import registry
from bnnbench.harness.config import parse


@dataclass(frozen=True)
class Asked:
    """A job that asks for a registered method with options, and a hash of the method's code."""

    job: str
    method: str
    options: Mapping[str, Any]
    code: str


def check(asked: Sequence[Asked], cache: Path) -> None:
    """Raises `UserError` for the first job whose method does not accept its options; `cache` is a folder."""
    facts = sorted({json.dumps([one.method, one.options, one.code], sort_keys=True, default=str) for one in asked})
    digest = hashlib.blake2b("\n".join(facts).encode(), digest_size=16).hexdigest()
    if not facts or (cache / digest).exists():
        return
    for one in asked:
        parse(registry.method(one.method).params, one.options, f"{one.job}: method {one.method!r}", "options.")
    with suppress(OSError):  # a cache that cannot be written only costs seconds
        cache.mkdir(parents=True, exist_ok=True)
        (cache / digest).touch()
