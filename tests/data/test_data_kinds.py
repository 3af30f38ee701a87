"""An experiment that is given a data set of another kind says so."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bnnbench.data import ImageFolders, Images, Split, Table
from bnnbench.data.cifar_c import Corrupted
from bnnbench.data.kinds import images, photographs, pictures
from bnnbench.data.lsun import LmdbSplit, Scenes
from bnnbench.errors import DataError

TABLE = Table(np.zeros((2, 1)), np.zeros(2), (), ("x0",), "y")
PART = Split(np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.int64))
IMAGES = Images({"train": PART, "test": PART}, ("a",))
PHOTOGRAPHS = ImageFolders({}, ("a",))
SCENES = Scenes({"test": LmdbSplit(Path("nowhere"), ())}, ("classroom",))
CORRUPTED = Corrupted({}, np.zeros(0, np.int64))


def test_what_is_wanted_is_handed_on() -> None:
    assert images("mnist", IMAGES, "train", "test") is IMAGES
    assert photographs("imagenet", PHOTOGRAPHS) is PHOTOGRAPHS
    assert pictures("mnist", IMAGES, "test") is PART
    assert pictures("lsun", SCENES, "test") is SCENES.splits["test"]


@pytest.mark.parametrize(
    ("data", "held"),
    [
        (TABLE, "a table"),
        (PHOTOGRAPHS, "photographs that are read one by one"),
        (SCENES, "scenes without labels"),
        (CORRUPTED, "corrupted test images alone"),
        (SimpleNamespace(), "a SimpleNamespace"),
        (None, "a NoneType"),
    ],
)
def test_what_is_no_set_of_images_is_named(data: object, held: str) -> None:
    with pytest.raises(DataError, match=f"^data set 'some' holds {held}; this experiment takes images of one size$"):
        images("some", data)


def test_other_wishes() -> None:
    with pytest.raises(
        DataError, match=r"^data set 'mnist' holds images of one size; this experiment takes photographs"
    ):
        photographs("mnist", IMAGES)
    for data, held in ((TABLE, "a table"), (CORRUPTED, "corrupted test images alone")):
        with pytest.raises(DataError, match=f"^data set 'abalone' holds {held}; this experiment takes images$"):
            pictures("abalone", data, "test")


def test_a_split_that_is_absent_is_named() -> None:
    only = Images({"test": PART}, ("a",))
    with pytest.raises(DataError, match=r"^data set 'kmnist' has the splits test; this experiment takes 'train'"):
        images("kmnist", only, "train", "test")
    with pytest.raises(DataError, match=r"^data set 'full' has the splits none; this experiment takes 'test'"):
        pictures("full", PHOTOGRAPHS, "test")
