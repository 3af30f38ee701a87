"""What other packages register beside the project's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import forget_registered

from bnnbench.errors import UserError
from bnnbench.harness import registry

Register = Callable[[str], None]


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Installs a package with one entry point of a method."""

    def install(line: str) -> None:
        folder = tmp_path / "elsewhere-0.1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 0.1\n")
        (folder / "entry_points.txt").write_text(f"[bnnbench.methods]\n{line}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        forget_registered()

    yield install
    forget_registered()


def test_a_method_of_the_same_name_does_not_replace_ours(register: Register) -> None:
    register("map = elsewhere:mine")
    with pytest.raises(UserError, match=r"'map' is registered by bnnbench\.bayes\.map:map_estimate and by elsewhere:"):
        registry.method("map")


def test_the_same_method_may_be_registered_again(register: Register) -> None:
    before = registry.method("map")
    register("map = bnnbench.bayes.map:map_estimate")
    assert registry.method("map") is before
