"""YAML is read as it was meant, or refused in one line."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bnnbench.errors import UserError
from bnnbench.harness import strict_yaml

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\ufeff\x85")),
)
# Small values, whose making does not take a hundred times as long as reading them.
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc yno01:", max_size=5), inner, max_size=3),
    max_leaves=12,
)


MAPPINGS = st.dictionaries(st.text("abcyno", min_size=1, max_size=5), VALUES, max_size=4)


def _numbers_of_yaml_1_2(value: Any) -> bool:
    """Whether text is in it that PyYAML, a reader of YAML 1.1, writes without quotes: `1e100` is text to it alone."""
    if isinstance(value, dict):
        return any(map(_numbers_of_yaml_1_2, [*value, *value.values()]))
    if isinstance(value, list):
        return any(map(_numbers_of_yaml_1_2, value))
    return isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?[0-9]+", value) is not None


@given(MAPPINGS)
def test_what_pyyaml_writes_is_read_back(values: dict[str, Any]) -> None:
    assume(not _numbers_of_yaml_1_2(values))
    assert strict_yaml.load(yaml.safe_dump(values, allow_unicode=True), "c") == values


@given(MAPPINGS)
@example({"a": "1e100", "b": ["yes", "010"], "c": 1e100})
def test_json_is_read_as_json(values: dict[str, Any]) -> None:
    text = json.dumps(values, ensure_ascii=False)
    assume("Infinity" not in text)  # no number of JSON
    assert strict_yaml.load(text, "c") == json.loads(text)


@pytest.mark.parametrize("key", ["a", "'a'", '"a"'])
@pytest.mark.parametrize("place", ["a: 1\n{key}: 2", "x: {{a: 1, {key}: 2}}", "x:\n  - y:\n      a: 1\n      {key}: 2"])
def test_a_key_given_twice_is_refused_with_its_line(place: str, key: str) -> None:
    text = place.format(key=key)
    with pytest.raises(
        UserError, match=rf"c\.yaml: not valid YAML \(line {len(text.splitlines())}\): key 'a' is given"
    ):
        strict_yaml.load(text, "c.yaml")


def test_merged_keys_may_be_overridden() -> None:
    assert strict_yaml.load("base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}", "c")["mine"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    "word", ["yes", "No", "ON", "off", "010", "1:30", "1_000", "0x1F", "0b11", "+1:30:20", "1_0.5"]
)
@pytest.mark.parametrize("place", ["a: {}", "a: [1, {}]", "{}: 1"])
def test_what_readers_of_yaml_disagree_on_is_refused(word: str, place: str) -> None:
    with pytest.raises(UserError, match="read differently"):
        strict_yaml.load(place.format(word), "c")
    assert strict_yaml.load(place.format(f"'{word}'"), "c")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-3", 0.001),
        ("5.", 5.0),
        (".5", 0.5),
        ("-.inf", -float("inf")),
        ("+3", 3),
        ("-0", 0),
        ("2E5", 2e5),
        ("~", None),
    ],
)
def test_numbers_are_those_of_yaml_1_2(word: str, value: Any) -> None:
    assert strict_yaml.load(f"a: {word}", "c") == {"a": value}


BOMB = "\n".join(["a0: &a0 [x]", *(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12))])


@pytest.mark.parametrize(
    "text",
    [
        *("a: [", "\0", "a: 1\n---\nb: 2", "x: !!python/object:os.system ls", "? [a]\n: 1", "[" * 5000, "a: *b"),
        *("a: !!int x", "a: !!float x", "a: !!bool x", "a: !!timestamp x", "a: !!timestamp 2026-99-99"),
        *("a: " + "9" * 5000, "a: &x [*x]", "a: &x {b: *x}", BOMB),
    ],
)
def test_other_mistakes_are_one_line(text: str) -> None:
    with pytest.raises(UserError) as caught:
        strict_yaml.load(text, "c.yaml")
    assert str(caught.value).startswith("c.yaml: not valid YAML")
    assert "\n" not in str(caught.value)
