"""A wrong configuration is one line that says where, what, and what is possible."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.errors import UserError
from bnnbench.harness import config, plan

WRONG = {
    "scale: big": "scale 'big' is not one of smoke, laptop, paper",
    "scal: smoke": "no key 'scal'; did you mean 'scale'?",
    "data: {dri: x}": "no key 'data.dri'; did you mean 'dir'?",
    "device: gpu": "device 'gpu' is not one of auto, cpu, cuda",
    "seeds: [1, 1]": "seeds: 1 is listed more than once; each must be different",
    "seeds: []": "seeds is empty; name at least one",
    "seeds: [-1]": "seeds.0 is -1: input should be greater than or equal to 0",
    "seeds: 3": "seeds is 3; it must be a list: [3]",
    "seeds: [one]": "seeds.0 is 'one': input should be a valid integer",
    "params: 3": "params is 3; it must hold keys with values",
    "papers: []": "papers is empty; name at least one",
    "papers: binarized": "papers is 'binarized'; it must be a list: [binarized]",
    "seeds: [true]": "seeds.0 is True: input should be a valid integer",
    "seeds: [99999999999999999999999999]": "seeds.0 is 99999999999999999999999999",
    "params: {binarized/mnist-mlp: {learning_rate: .inf}}": "learning_rate is inf: input should be a finite number",
    "variants: [bnn, bnnn]": "no variant 'bnnn'; did you mean 'bnn'?",
    "papers: [binarised]": "papers: no paper 'binarised'; did you mean 'binarized'?",
    "experiments: [binarized/mnst-mlp]": "no experiment 'binarized/mnst-mlp'; did you mean 'binarized/mnist-mlp'?",
    "variants: [nothing]": "variants: no variant 'nothing'",
    "params: {binarized/mnist: {}}": "no experiment 'binarized/mnist'; did you mean 'binarized/mnist-mlp'?",
    "params: {binarized/mnist-mlp: {epocs: 3}}": "no key 'params.binarized/mnist-mlp.epocs'; did you mean 'epochs'?",
    "params: {binarized/mnist-mlp: {epochs: 0}}": "binarized/mnist-mlp.epochs is 0: input should be greater than 0",
    "params: {binarized/mnist-mlp: {activation: tanh}}": "activation 'tanh' is not one of relu, hardtanh, sign",
    "params: {binarized/mnist-mlp: {dataset: mnsit}}": "no data set 'mnsit'; did you mean 'mnist'?",
    "- a list": "must hold keys with values",
    "scale: [": "not valid YAML (line 2)",
    "papers: [binarized, binarized]": "papers: binarized is listed more than once",
    "results: a{b}": "results: 'a{b}' holds braces",
    "results: -x": "results: '-x' cannot be the name of a folder",
    "results: ~nobody-of-this-name": "results: '~nobody-of-this-name': there is no such home directory",
    'results: "a\\nb"': "cannot be the name of a folder",
    "data: {dir: ~nobody-of-this-name}": "there is no such home directory",
    "params: {binarized/mnist-mlp: {epochs: yes}}": "'yes' is read differently",
    "params: {binarized/mnist-mlp: {epochs: true}}": "mnist-mlp.epochs is True, where a number belongs",
    "params: {binarized/mnist-mlp: {epochs: '010'}}": "epochs is '010', where a number belongs",
    "params: {binarized/mnist-mlp: {gradient_mask: 1}}": "gradient_mask is 1, where true or false belongs",
    "kernels: 'false'": "kernels is 'false', where true or false belongs",
    "params: {refinement/fmnist: {angles: [15, '30']}}": "angles.1 is '30', where a number belongs",
    "add_variants: {binarized/mnist-mlp: {..: {}}}": "add_variants: binarized/mnist-mlp: name '..'",
    "add_variants: {binarized/mnist-mlp: {.: {}}}": "add_variants: binarized/mnist-mlp: name '.'",
    "add_variants: {binarized/mnist-mlp: {%s: {}}}" % ("x" * 300): "at most 100 of them",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text + "\n")
    with pytest.raises(UserError) as caught:
        plan.make(config.load(str(path)), str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert WRONG[text] in message
    assert "\n" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such file"):
        config.load(str(tmp_path / "nowhere.yaml"))


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=4))
)
def test_whatever_a_file_holds_is_a_configuration_or_one_line(values: dict[str, object]) -> None:
    try:
        found = config.validate(values, "file")
    except UserError as error:
        message = str(error)
    else:
        message = "file: valid"
        assert config.validate(found.model_dump(), "again") == found
    assert message.startswith("file: ")


@pytest.mark.parametrize("name", ["config", "smoke", "paper"])
def test_the_projects_own_files_are_valid(name: str) -> None:
    path = Path(__file__).parents[2] / "config" / f"{name}.yaml"
    assert plan.make(config.load(str(path)), str(path)).jobs


def test_the_default_file_states_the_defaults_and_every_key() -> None:
    path = Path(__file__).parents[2] / "config" / "config.yaml"
    values = yaml.safe_load(path.read_text())
    assert config.validate(values, "file") == config.validate({}, "defaults")
    assert set(values) == set(config.Config.model_fields)
    assert set(values["data"]) == set(config.DataConfig.model_fields)


def test_the_users_folder_comes_from_the_environment_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNNBENCH_DATA", str(tmp_path))
    found = config.validate({"data": {"dir": None}}, "file")
    monkeypatch.delenv("BNNBENCH_DATA")
    assert found.data.dir == tmp_path
    assert config.validate(found.model_dump(mode="json"), "resolved").data.dir == tmp_path


def test_files_of_a_workflow_change_what_they_name_and_words_change_them(tmp_path: Path) -> None:
    base, other = tmp_path / "base.yaml", tmp_path / "other.yaml"
    base.write_text("scale: laptop\nparams: {binarized/mnist-mlp: {epochs: 5, width: 64}}\n")
    other.write_text("params: {binarized/mnist-mlp: {epochs: 7}}\n")
    words = [
        "seeds=[0, 1]",
        "scale=smoke",
        "papers=[binarized]",
        "results=elsewhere",
        "params={binarized/mnist-mlp: {depth: 2}}",
    ]
    found = config.load_for_workflow([base, other], words, "here")
    assert found.params == {"binarized/mnist-mlp": {"epochs": 7, "width": 64, "depth": 2}}
    assert (found.scale, found.seeds, found.papers) == ("smoke", [0, 1], ["binarized"])
    assert found.results == Path("elsewhere")
    for word, message in {
        "seeds=0": "seeds is 0; it must be a list: [0]",
        "seeds=[": "--config seeds: not valid YAML",
    }.items():
        with pytest.raises(UserError) as caught:
            config.load_for_workflow([base], [word], "here")
        assert message in str(caught.value)


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("xy"), st.integers())),
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("xy"), st.integers())),
)
def test_merging_keeps_what_is_not_named(first: dict[str, object], second: dict[str, object]) -> None:
    found = config.merged(first, second)
    assert found.keys() == first.keys() | second.keys()
    for key, value in found.items():
        if isinstance(first.get(key), dict) and isinstance(second.get(key), dict):
            assert value == {**first[key], **second[key]}  # type: ignore[dict-item]
        else:
            assert value == second.get(key, first.get(key))


def test_without_a_home_there_is_a_cache_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert config.Config().cache_dir().name == "bnnbench"


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfscale: smoke\r\n")
    assert config.load(str(path)).scale == "smoke"
    path.write_bytes("scale: smoke".encode("utf-16"))
    with pytest.raises(UserError, match=r"c\.yaml: not UTF-8 \(byte 0\)"):
        config.load(str(path))
