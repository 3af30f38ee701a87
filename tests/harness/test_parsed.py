"""What is remembered of a source is what its bytes say, whatever the cache holds."""

import json
from pathlib import Path

import pytest

from bnnbench.harness import parsed

SOURCE = '''"""A module."""
import json
from . import sibling
from ..above import name
from bnnbench.errors import UserError

__version__ = "1"


def f():
    """Returns."""
    return 1  # one
'''


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parsed._fresh.clear()
    parsed._remembered.cache_clear()
    return tmp_path / "cache" / "bnnbench" / "parsed.json"


def write(folder: Path, text: str, name: str = "module.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def afresh(path: Path, module: str = "package.inner.module") -> parsed.Parsed:
    """Parsed as by a new process."""
    parsed._fresh.clear()
    parsed._remembered.cache_clear()
    return parsed.parse(module, path)


def test_imports_are_full_names(tmp_path: Path) -> None:
    found = parsed.parse("package.inner.module", write(tmp_path, SOURCE))
    assert set(found.imports) == {
        "json", "package.inner", "package.inner.sibling", "package.above", "package.above.name",
        "bnnbench.errors", "bnnbench.errors.UserError",
    }  # fmt: skip
    package = parsed.parse("package.inner", write(tmp_path, SOURCE, "__init__.py"))
    assert package.imports == found.imports, "a package is its own parent"
    elsewhere = parsed.parse("other.module", write(tmp_path, "from . import sibling"))
    assert elsewhere.imports == ("other", "other.sibling"), "the same bytes elsewhere import something else"


@pytest.mark.parametrize(("old", "new"), [("# one", "# two"), ('"1"', '"2"'), ("Returns.", "Gives."), ("\n\n\n", "\n")])
def test_comments_docstrings_version_and_layout_do_not_count(tmp_path: Path, old: str, new: str) -> None:
    assert afresh(write(tmp_path, SOURCE)) == afresh(write(tmp_path, SOURCE.replace(old, new)))


def test_code_counts_though_the_cache_knows_the_file(tmp_path: Path) -> None:
    before = parsed.parse("package.inner.module", write(tmp_path, SOURCE))
    parsed.remember()
    assert afresh(write(tmp_path, SOURCE.replace("return 1", "return 2"))).digest != before.digest


def test_a_later_process_reads_what_was_remembered(
    tmp_path: Path, cache_of_its_own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, SOURCE)
    before = parsed.parse("package.inner.module", path)
    parsed.remember()
    parsed.parse("package.inner.module", write(tmp_path, "import os", "other.py"))
    parsed.remember()
    _, held = cache_of_its_own.read_text().split("\n")
    assert len(json.loads(held)) == 2, "a second writer keeps what the first one knew"
    monkeypatch.setattr("ast.parse", lambda *_: pytest.fail("parsed again"))
    assert afresh(path) == before


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": [1, 2]}', "\x00", "7"])
def test_a_damaged_cache_is_none(tmp_path: Path, cache_of_its_own: Path, text: str) -> None:
    path = write(tmp_path, SOURCE)
    before = parsed.parse("package.inner.module", path)
    cache_of_its_own.parent.mkdir(parents=True)
    cache_of_its_own.write_text(text)
    assert afresh(path) == before
    parsed.remember()
    assert afresh(path) == before, "and is written anew"


def test_a_character_that_was_changed_makes_the_cache_none(tmp_path: Path, cache_of_its_own: Path) -> None:
    """An import that is lost would leave a module out of keys, and its changes unseen."""
    path = write(tmp_path, SOURCE)
    before = parsed.parse("package.inner.module", path)
    parsed.remember()
    text = cache_of_its_own.read_text()
    cache_of_its_own.write_text(text.replace("package.above.name", "package.above.nama"))
    assert afresh(path) == before


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    parsed.parse("package.inner.module", write(tmp_path, SOURCE))
    parsed.remember()
