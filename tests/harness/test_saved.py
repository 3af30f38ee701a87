"""States in files: what comes back is what went in, or nothing."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.harness import saved

STATE = {"x": torch.arange(6.0).view(2, 3), "step": 3, "name": "net", "parts": [1.5, {"deep": torch.ones(2)}]}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "state.pt"
    saved.write(path, STATE)
    return path.read_bytes()


def test_a_state_is_read_back(tmp_path: Path) -> None:
    saved.write(tmp_path / "state.pt", STATE)
    found = saved.read(tmp_path / "state.pt")
    assert found is not None
    assert torch.equal(found["x"], STATE["x"])  # type: ignore[arg-type]
    assert (found["step"], found["name"], found["parts"][0]) == (3, "net", 1.5)


@given(st.data())
def test_any_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped.pt"
    path.write_bytes(damaged)
    assert saved.read(path) is None


@pytest.mark.parametrize("length", [0, 1, 40, -1])
def test_a_torn_file_is_none(tmp_path: Path, content: bytes, length: int) -> None:
    (tmp_path / "state.pt").write_bytes(content[:length])
    assert saved.read(tmp_path / "state.pt") is None


def test_no_file_and_a_folder_are_none(tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    assert saved.read(tmp_path / "nothing.pt") is None
    assert saved.read(tmp_path / "folder.pt") is None


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    import hashlib
    from io import BytesIO

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    buffer = BytesIO()
    torch.save({"x": Trap()}, buffer)
    digest = hashlib.blake2b(buffer.getvalue(), digest_size=16).hexdigest()
    (tmp_path / "state.pt").write_bytes(b"bnnbench state " + digest.encode() + b"\n" + buffer.getvalue())
    assert saved.read(tmp_path / "state.pt") is None
    assert not (tmp_path / "sprung").exists()
