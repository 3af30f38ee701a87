"""A hash of the code that an experiment uses, so that a change of the code reruns the jobs that use it and no others.

Snakemake does not see changes in imported modules. The hash covers the experiment's module and every module that it
imports, directly or indirectly, from its own top-level package or from bnnbench; comments, docstrings, layout and the
version do not count. The machinery (`bnnbench.harness`) is left out except for what determines numbers: the derivation
of seeds and the version of the protocol below. Another minor version of Python may give another hash.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bnnbench.errors import UserError
from bnnbench.harness.parsed import Parsed, parse, remember

PROTOCOL = "1"  # raise it when the machinery changes in a way that changes numbers
MACHINERY = "bnnbench.harness"


@cache
def code_hash(module: str, optional: bool = False) -> str:
    """Hex digest of `module` and all that it imports within its package and bnnbench; a package includes its modules.

    An `optional` module that does not exist has the digest "".
    """
    if _source(module) is None:
        if optional:
            return ""
        raise UserError(f"module {module}: its source cannot be found, so changes in it could not be noticed")
    roots = {module.partition(".")[0], "bnnbench"}
    digest = hashlib.blake2b(PROTOCOL.encode(), digest_size=16)
    for name in sorted(_closure([module, *_within(module)], frozenset(roots)) | {f"{MACHINERY}.seeds"}):
        digest.update(f"\0{name}\0{_parsed(name).digest}".encode())
    remember()
    return digest.hexdigest()


def _within(package: str) -> list[str]:
    """The modules below a package."""
    path = _source(package)
    if path is None or path.name != "__init__.py":
        return []
    below = [file.relative_to(path.parent).with_suffix("").parts for file in path.parent.rglob("*.py") if file != path]
    return [".".join([package, *parts]).removesuffix(".__init__") for parts in sorted(below)]


def _closure(modules: Sequence[str], roots: frozenset[str]) -> set[str]:
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith(MACHINERY):
            continue
        seen.add(name)
        parents = [name.rpartition(".")[0]] if "." in name else []
        imports = _parsed(name).imports if _source(name) is not None else ()
        waiting += [found for found in (*imports, *parents) if found.partition(".")[0] in roots]
    return {name for name in seen if _source(name) is not None}


@cache
def _source(module: str) -> Path | None:
    # Joined from the root package's folder: find_spec on a dotted name would import the parents (and torch).
    root, *rest = module.split(".")
    spec = find_spec(root)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin is not None and spec.origin.endswith(".py") else None
    places = [Path(folder).joinpath(*rest) for folder in spec.submodule_search_locations or ()]
    candidates = [path for place in places for path in (place / "__init__.py", place.with_name(f"{place.name}.py"))]
    return next((path for path in candidates if path.is_file()), None)


@cache
def _parsed(module: str) -> Parsed:
    path = _source(module)
    assert path is not None
    return parse(module, path)


def folder_hash(package: str) -> str:
    """Hex digest of the content of every file of a package, for results that are cheap to compute again."""
    spec = find_spec(package)
    digest = hashlib.blake2b(digest_size=8)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
