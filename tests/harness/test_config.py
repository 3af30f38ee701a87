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
