"""Views of photographs, and batches of them that do not depend on how they are computed."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from bnnbench.data import DATASETS, ImageFolder, ImageFolders, Places
from bnnbench.data.batches import Photographs, Share, evaluation_batches, training_batches
from bnnbench.data.views import View, centre_view, random_view
from bnnbench.errors import DataError

pytestmark = pytest.mark.data

VIEW = View(resize=20, crop=16)
Found = list[tuple[NDArray[np.uint8], list[int]]]


def photographs(folder: Path, n: int = 13, seed: int = 3) -> Photographs:
    """Pictures of different sizes; the label is the number of the picture."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(n):
        paths.append(folder / f"{i:02}.png")
        size = (int(rng.integers(20, 50)), int(rng.integers(20, 50)), 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(paths[-1])
    return Photographs(ImageFolder(tuple(paths), np.arange(n), tuple(map(str, range(n)))), VIEW, seed)


def training(source: Photographs, first: int, last: int, share: Share = Share(), workers: int = 0) -> Found:  # noqa: B008
    found = training_batches(source, 4, first, last, share, workers, pin=False)
    return [(pixels.numpy(), labels.tolist()) for pixels, labels in found]


def same(a: Found, b: Found) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) and k == m for (x, k), (y, m) in zip(a, b, strict=True))


def test_batches_do_not_depend_on_workers_or_on_where_training_starts(tmp_path: Path) -> None:
    source = photographs(tmp_path)
    whole = training(source, 0, 8)  # two epochs and two batches of the third: 13 images make three batches of 4
    assert same(training(source, 0, 8, workers=2), whole)
    for first in (1, 3, 5):
        assert same(training(source, first, 8), whole[first:])


def test_processes_share_each_batch(tmp_path: Path) -> None:
    source = photographs(tmp_path)
    whole = training(source, 2, 7)
    parts = [training(source, 2, 7, Share(rank, 2)) for rank in range(2)]
    for (pixels, labels), even, odd in zip(whole, *parts, strict=True):
        assert np.array_equal(pixels[0::2], even[0])
        assert np.array_equal(pixels[1::2], odd[0])
        assert (labels[0::2], labels[1::2]) == (even[1], odd[1])


def test_an_epoch_has_each_image_at_most_once_and_epochs_differ(tmp_path: Path) -> None:
    source = photographs(tmp_path)
    epochs = [training(source, start, start + 3) for start in (0, 3)]
    for epoch in epochs:
        labels = [label for _, batch in epoch for label in batch]
        assert len(labels) == len(set(labels)) == 12
    assert not same(*epochs)
    assert not same(epochs[0], training(photographs(tmp_path, seed=4), 0, 3))
    views = [
        {label: x for pixels, labels in epoch for x, label in zip(pixels, labels, strict=True)} for epoch in epochs
    ]
    common = views[0].keys() & views[1].keys()
    assert sum(np.array_equal(views[0][label], views[1][label]) for label in common) < len(common) / 2


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_sees_every_image_once_in_the_middle(tmp_path: Path, workers: int) -> None:
    source = photographs(tmp_path)
    for size in (1, 3):
        labels: list[int] = []
        for rank in range(size):
            for pixels, known in evaluation_batches(source, 5, Share(rank, size), workers, pin=False):
                labels += known.tolist()
                for x, label in zip(pixels.numpy(), known.tolist(), strict=True):
                    assert np.array_equal(x, centre_view(source.folder.read(label), VIEW))
        assert sorted(labels) == list(range(13))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_decoded_is_one_line_that_names_it(tmp_path: Path, workers: int) -> None:
    source = photographs(tmp_path)
    source.folder.paths[7].write_bytes(b"no picture at all")
    with pytest.raises(DataError) as caught:
        training(source, 0, 6, workers=workers)
    assert str(caught.value).startswith(f"{tmp_path}/07.png: not a readable image")
    assert "\n" not in str(caught.value)


def test_batches_leave_the_global_stream_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    training(photographs(tmp_path), 0, 2)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40), (20, 20), (10, 33)])
def test_views_are_cut_from_the_resized_image(height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    shorter = min(height, width)
    size = (20, round(height * 20 / shorter)) if width < height else (round(width * 20 / shorter), 20)
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    top, left = (size[1] - 16) // 2, (size[0] - 16) // 2
    assert np.array_equal(centre_view(image, VIEW), resized[:, top : top + 16, left : left + 16])
    corners = {
        resized[:, y : y + 16, x : x + 16][:, :, ::step].tobytes(): (y, x, step)
        for y in range(size[1] - 15)
        for x in range(size[0] - 15)
        for step in (1, -1)
    }
    found = [corners[random_view(image, VIEW, np.random.default_rng(i)).tobytes()] for i in range(600)]
    assert {0, size[1] - 16} <= {y for y, _, _ in found}
    assert {0, size[0] - 16} <= {x for _, x, _ in found}
    assert 240 < sum(step == -1 for _, _, step in found) < 360


def test_views_of_real_photographs_look_like_them(tmp_path: Path) -> None:
    """All hundred, in colour, grey or CMYK: each view has the mean colours of the middle of its photograph."""
    dataset = {dataset.name: dataset for dataset in DATASETS}["imagenet-sample"]
    root = Path(os.environ.get("BNNBENCH_DATA", tmp_path))
    if dataset.find(root) is None:
        pytest.skip("imagenet-sample is not in BNNBENCH_DATA")
    content = dataset.load(dataset.locate(Places(root, tmp_path)))
    assert isinstance(content, ImageFolders)
    folder = content.splits["test"]
    source = Photographs(folder, View(), 0)
    for i in range(0, len(folder), 5):
        image = folder.read(i)
        item = source[(i, -1)]
        assert not isinstance(item, DataError)
        view, label = item
        assert view.shape == (3, 224, 224)
        assert label == folder.labels[i]
        side = min(image.shape[:2]) * 224 / 256
        top, left = (round((length - side) / 2) for length in image.shape[:2])
        middle = image[top : top + round(side), left : left + round(side)]
        assert view.mean(axis=(1, 2)) == pytest.approx(middle.mean(axis=(0, 1)), abs=1.0)
