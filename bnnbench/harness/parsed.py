"""The imports of a module and a digest of its code, parsed once and remembered by the content of its source.

Parsing the package takes about 2 CPU-seconds, and every step of a workflow makes the plan, which needs the code of all
experiments. So the imports and digest of a source are kept in the user's cache under a digest of its bytes. Nothing
there can be stale, and deleting the cache only costs time.
"""

import ast
import hashlib
import json
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bnnbench.errors import UserError
from bnnbench.harness.config import user_cache
from bnnbench.harness.files import write_atomic

VERSION = f"1 {sys.version_info.major}.{sys.version_info.minor}"
"""The version of this parser and of Python; another version may compute another digest from the same bytes."""
MOST = 5000
"""The number of remembered sources above which the file is begun anew."""


class Parsed(NamedTuple):
    """What is known about a source."""

    imports: tuple[str, ...]
    """Full names of the imported modules, and of the names that are imported from them."""
    digest: str
    """A digest of the syntax tree without comments, docstrings, layout and `__version__`."""


_fresh: dict[str, Parsed] = {}


def parse(module: str, path: Path) -> Parsed:
    """The imports and digest of the source at `path` of the module with this full name."""
    content = path.read_bytes()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    key = hashlib.blake2b(f"{VERSION}\0{package}\0".encode() + content, digest_size=16).hexdigest()
    known = _remembered(_place()).get(key) or _fresh.get(key)
    if known is None:
        tree = ast.parse(content, str(path))
        known = _fresh[key] = Parsed(_imports(tree, package), _digest(tree))
    return known


def remember() -> None:
    """Saves what this process parsed for later processes; where the cache cannot be written, they parse it again."""
    if not _fresh:
        return
    place = _place()
    _remembered.cache_clear()  # other processes may have written in the meantime
    there = _remembered(place)
    together = {**(there if len(there) < MOST else {}), **_fresh}
    text = json.dumps(together)
    with suppress(UserError):
        write_atomic(place, f"{_checksum(text)}\n{text}")
    _remembered.cache_clear()
    _fresh.clear()


def _place() -> Path:
    return user_cache() / "bnnbench" / "parsed.json"


@cache
def _remembered(place: Path) -> dict[str, Parsed]:
    """The content of the file; empty where it is absent or damaged."""
    try:
        checksum, _, text = place.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    if checksum != _checksum(text):
        return {}
    return {key: Parsed(tuple(imports), digest) for key, (imports, digest) in json.loads(text).items()}


def _checksum(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _imports(tree: ast.Module, package: str) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _digest(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_docstring(part) and not _is_version(part)]  # type: ignore[attr-defined]
    return hashlib.blake2b(ast.dump(tree).encode(), digest_size=16).hexdigest()


def _is_docstring(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_version(node: ast.AST) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id == "__version__" for target in targets)
