"""The project's own promises: what its files say agrees with what it is."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
import yaml
from conftest import ROOT, environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = {"pytest-benchmark", "torch", "snakemake", "pandas", "cupy-cuda13x", "mlflow"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


def test_environment_yml_names_the_main_packages_and_installs_the_project() -> None:
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [part["pip"] for part in content["dependencies"] if isinstance(part, dict)]
    assert names(pip) >= REQUIRED
    assert "-e .[test]" in pip
    assert "-c constraints.txt" in pip


def test_every_dependency_is_declared_and_constrained() -> None:
    declared = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["test"])
    assert declared >= REQUIRED
    constrained = names((ROOT / "constraints.txt").read_text().splitlines())
    assert declared <= constrained


def test_constraints_hold_no_local_versions_and_allow_the_declared_ranges() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "torch==2.13.0\n" in text
    assert not re.search(r"[+@/]", text)


def test_what_is_installed_is_what_was_tested() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    for name in REQUIRED | {"numpy", "pydantic", "typer"}:
        assert version(name).partition("+")[0] == pinned[name], f"{name}: make setup installs {pinned[name]}"


def readme_commands() -> list[str]:
    blocks = re.findall(r"```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_the_readmes_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {line.split()[1] for line in readme_commands() if line.startswith("make ")}
    assert used >= {"reproduce", "test"}
    assert used <= targets
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {name}" in listed for name in used)


@pytest.mark.parametrize("line", [line for line in readme_commands() if line.startswith(("snakemake", "bnnbench "))])
def test_the_readmes_commands_are_understood(line: str) -> None:
    if line.startswith("bnnbench: "):
        pytest.skip("an error message that the text shows")
    program, *words = line.split()
    if program == "bnnbench":
        words = [*words[: 2 if words[0] == "data" else 1], "--help"]
        command = [sys.executable, "-m", "bnnbench"]
    else:
        command, words = [program], [*words, "--dry-run"]
    done = subprocess.run([*command, *words], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["default", "slurm", "kubernetes"])
def test_profiles_are_understood_by_snakemake(name: str) -> None:
    content = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
    text = subprocess.run(["snakemake", "--help"], capture_output=True, text=True, check=True, env=environment()).stdout
    assert all(f"--{key}" in text for key in content)
