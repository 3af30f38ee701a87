"""What other packages register beside the project's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import forget_registered

from bnnbench.errors import UserError
from bnnbench.harness import code, drawing, paper, registry, verdicts

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


def test_members_of_every_module_of_a_package_are_found_once(toy: Path) -> None:
    package = toy / "toy_paper" / "claims"
    (toy / "toy_paper" / "claims.py").unlink()
    package.mkdir()
    declare = (
        "from bnnbench.harness.claim import at_least, claim\n\n\n"
        "@claim({0!r}, 'It walks.', 'Table 1', ['toy/{1}'])\ndef test(results):\n    return None\n"
    )
    (package / "__init__.py").write_text("from toy_paper.claims.b import test\n")
    (package / "a.py").write_text(declare.format("last", "still"))
    (package / "b.py").write_text(declare.format("first", "walk"))
    assert [claim.name for claim in verdicts.claims("toy")] == ["first", "last"], "in the order of the experiments"
    before = code.code_hash("toy_paper.claims")
    (package / "a.py").write_text(declare.format("last", "walk"))
    forget_registered()
    assert code.code_hash("toy_paper.claims") != before, "a module that no other one imports counts"
    (package / "c.py").write_text(declare.format("first", "walk"))
    forget_registered()
    with pytest.raises(UserError, match="two are called 'first'"):
        verdicts.claims("toy")


@pytest.mark.parametrize("name", ["../../x", "a b", "", ".", "x" * 101])
def test_a_figure_whose_name_could_not_be_a_file_is_refused(toy: Path, name: str) -> None:
    path = toy / "toy_paper" / "figures.py"
    path.write_text(path.read_text().replace('"path"', repr(name)))
    with pytest.raises(UserError, match="it must begin with a-z or 0-9"):
        drawing.figures("toy")


@pytest.mark.parametrize("name", ["collected", "shared", "c++", "..", "Toy", "all", "x" * 51, "a/b"])
def test_a_paper_whose_name_is_taken_or_no_name_is_refused(toy: Path, name: str) -> None:
    (toy / "toy_paper-0.1.dist-info" / "entry_points.txt").write_text(f"[bnnbench.papers]\n{name} = toy_paper\n")
    with pytest.raises(UserError, match=r"paper '.*': (the workflow has a rule or a folder|the name must begin)"):
        paper.get(name)


@pytest.mark.usefixtures("toy")
def test_what_a_paper_need_not_have_is_empty(toy: Path) -> None:
    for name in ("claims.py", "figures.py"):
        (toy / "toy_paper" / name).unlink()
    assert (verdicts.claims("toy"), drawing.figures("toy")) == ([], {})
    assert code.code_hash("toy_paper.claims", optional=True) == ""
