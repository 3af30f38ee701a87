"""Strict YAML: no key occurs twice, and no scalar has different values for different readers of YAML.

Scalars are resolved as in YAML 1.2, so `1e-3` is a number. Scalars that YAML 1.1 reads differently (`yes` as true,
`010` as 8, `1:30` as 90, `1_000` as 1000) are refused, since either reading may be intended.
"""

import re
from typing import Any

import yaml

from bnnbench.errors import UserError

MOST = 1_000_000
_STRING, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_RESOLVERS = (
    ("tag:yaml.org,2002:null", re.compile(r"~|null|Null|NULL|")),
    ("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)")),
    (
        "tag:yaml.org,2002:float",
        re.compile(
            r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))"
            r"|\.(?:nan|NaN|NAN)"
        ),
    ),
    (_MERGE, re.compile(r"<<")),
)
_NUMBER = "write it as a plain decimal number, or quote it if it is text"
_ADVICE = {
    "tag:yaml.org,2002:bool": "write true or false, or quote it if it is text",
    "tag:yaml.org,2002:int": _NUMBER,
    "tag:yaml.org,2002:float": _NUMBER,
}
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """The safe loader with the two restrictions above."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        older: str = super().resolve(kind, value, implicit)
        if kind is not yaml.ScalarNode or not implicit[0]:
            return older
        tag = next((tag for tag, pattern in _RESOLVERS if pattern.fullmatch(value)), _STRING)
        return f"{older}/ambiguous" if tag == _STRING and older in _ADVICE else tag

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:  # raised by tags such as `!!int` and `!!timestamp` on other texts
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _problem(f"{str(node.value)[:60]!r}: {reason}", node) from error

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if key.value in seen:
                raise _problem(f"key {key.value!r} is given twice (first in line {seen[key.value]})", key)
            seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def construct_yaml_float(self, node: Any) -> float:
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))

    def construct_yaml_int(self, node: Any) -> int:
        return int(node.value)

    def construct_ambiguous(self, node: Any) -> Any:
        advice = _ADVICE[node.tag.removesuffix("/ambiguous")]
        raise _problem(f"{node.value!r} is read differently by different readers of YAML; {advice}", node)


def _problem(text: str, node: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, text, node.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
for _tag in _ADVICE:
    _Loader.add_constructor(f"{_tag}/ambiguous", _Loader.construct_ambiguous)


def load(text: str, where: str) -> Any:
    """The value that YAML text holds; a mistake raises `UserError` with `where` and the line."""
    try:
        value = yaml.load(text, Loader=_Loader)
        _count(value)
        return value
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise UserError(f"{where}: not valid YAML{line}: {problem}") from error
    except RecursionError as error:
        raise UserError(f"{where}: not valid YAML: nested too deeply, or something that contains itself") from error


def _count(value: Any, before: int = 0) -> int:
    """The number of values, where an aliased value counts at each of its places; more than `MOST` raise an error."""
    if before > MOST:
        raise yaml.YAMLError(f"its aliases stand for more than {MOST} values")
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list | set) else ()
    count = before + 1
    for part in parts:
        count = _count(part, count)
    return count
