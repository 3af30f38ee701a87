"""A hash of the code that an experiment uses, so that a change reruns its jobs and no others.

Snakemake does not see changes in imported modules. The hash covers the experiment's module and every module that it
imports, directly or not, from its own top-level package or from bnnbench; comments, docstrings and layout do not
count. The machinery (`bnnbench.harness`) is left out except for what makes numbers: the derivation of seeds and the
version of the protocol below.
"""

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PROTOCOL = "1"  # raise it when the machinery changes in a way that changes numbers
MACHINERY = "bnnbench.harness"


def code_hash(module: str) -> str:
    """Hex digest of `module` and all that it imports within its package and bnnbench."""
    roots = {module.partition(".")[0], "bnnbench"}
    digest = hashlib.blake2b(PROTOCOL.encode(), digest_size=16)
    for name in sorted(_closure(module, frozenset(roots)) | {f"{MACHINERY}.seeds"}):
        digest.update(f"\0{name}\0{_normalised(name)}".encode())
    return digest.hexdigest()


def _closure(module: str, roots: frozenset[str]) -> set[str]:
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith(MACHINERY) or _source(name) is None:
            continue
        seen.add(name)
        parents = [name.rpartition(".")[0]] if "." in name else []
        waiting += [found for found in (*_imports(name), *parents) if found.partition(".")[0] in roots]
    return seen


@cache
def _source(module: str) -> Path | None:
    # Joined from the root package's folder: find_spec on a dotted name would import the parents (and torch).
    root, *rest = module.split(".")
    spec = find_spec(root)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    if not rest:
        return path
    if path.name != "__init__.py":
        return None
    path = path.parent.joinpath(*rest)
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


@cache
def _tree(module: str) -> ast.Module:
    path = _source(module)
    assert path is not None
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imports(module: str) -> tuple[str, ...]:
    path = _source(module)
    assert path is not None
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: list[str] = []
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            found += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return tuple(found)


@cache
def _normalised(module: str) -> str:
    tree = _tree(module)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Expr(ast.Constant(None))
    return ast.dump(tree)
