"""Curves: whole rows are read whatever is between them, and nothing else is."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.errors import UserError
from bnnbench.harness import history


def row(seed: int, step: int, **values: object) -> dict[str, object]:
    return {"seed": seed, "step": step, "time": 1.5, "loss": 0.25, **values}


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in rows)


@given(
    st.sampled_from(
        [b"\xff\xfe\n", b"3\n", b"[1]\n", b"{\n", b"\n", b'{"seed": 1}\n', b"null\n", b"\0\0\n", b"[" * 9000 + b"\n"]
    ),
    st.integers(0, 3),
)
def test_damaged_rows_are_left_out_and_named(tmp_path_factory: pytest.TempPathFactory, damage: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    good = [row(0, 1), row(0, 2), row(1, 1)]
    path.write_bytes(lines(*good[:at]) + damage + lines(*good[at:]))
    found = history.read(path)
    assert list(found.rows) == good
    assert f"1 damaged rows, the first in line {at + 1}" in found.damage


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": "0"},
        {"seed": True},
        {"step": 1.5},
        {"time": None},
        {"loss": "low"},
        {"loss": [1]},
        {"stage": 3},
        {"loss": float("nan")},
    ],
)
def test_a_row_of_another_shape_is_damage(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(lines(row(0, 1), {**row(0, 2), **wrong}))
    assert len(history.read(path).rows) == 1
    assert history.read(path).damage


def test_a_torn_last_row_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(lines(row(0, 1)) + b'{"seed": 0, "st')
    assert history.read(path) == history.History((row(0, 1),))


def test_rewinding_forgets_the_later_rows_of_one_stage_and_seed_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    rows = [
        row(seed, step, **({"stage": stage} if stage else {}))
        for seed in (0, 1)
        for stage in ("", "b")
        for step in (1, 2)
    ]
    path.write_bytes(lines(*rows))
    history.rewind(path, 0, "b", 1)
    assert list(history.read(path).rows) == [one for one in rows if one != row(0, 2, stage="b")]
    history.rewind(path, 1, "", None)
    assert [one for one in history.read(path).rows if one["seed"] == 1] == rows[6:]


def test_a_folder_in_the_place_of_the_file_is_damage_and_makes_way(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.mkdir()
    assert history.read(path).damage
    history.rewind(path, 0, "", None)
    history.append(path, row(0, 1))
    assert list(history.read(path).rows) == [row(0, 1)]


def test_rows_are_not_appended_to_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        history.append(tmp_path / "gone" / "history.jsonl", row(0, 1))
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("damaged", [row(0, 2**63), row(0, 10**400), row(2**63, 1), {**row(0, 1), "position": 10**400}])
def test_numbers_that_no_table_holds_are_damage(tmp_path: Path, damaged: dict[str, object]) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(lines(row(0, 1), damaged))
    assert list(history.read(path).rows) == [row(0, 1)]
    assert "1 damaged rows, the first in line 2" in history.read(path).damage
