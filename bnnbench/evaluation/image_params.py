"""Parameters of a study of images: the net, its training images, and the data that it is tested on."""

from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from bnnbench.evaluation.params import Inference, PointTraining

Other = Literal[
    "mnist",
    "fashion-mnist",
    "kmnist",
    "emnist-digits",
    "notmnist",
    "svhn",
    "lsun",
    "cifar10",
    "cifar100",
    "tiny-imagenet",
]
Severity = Literal[1, 2, 3, 4, 5]
ANGLES = tuple(range(0, 181, 15))
"""The angles, in degrees, that have their own metric; others are only in the table of rotations."""


class ImageNet(PointTraining):
    """The net, its data and its training, which define the point estimate from which last-layer methods start."""

    dataset: str = Field("fashion-mnist", description="a registered set of images that fit in memory")
    net: Literal["lenet", "wrn-10-1", "wrn-16-4", "wrn-28-10", "convnet", "mlp"] = "lenet"
    width: PositiveInt = Field(50, description="mlp: hidden units of a layer")
    depth: PositiveInt = Field(1, description="mlp: hidden layers")
    affine: bool = Field(True, description="wrn: batch norms have scales and shifts of their own")
    side: PositiveInt | None = Field(None, description="pixels of a side that images are averaged down to")
    n_train: PositiveInt | None = Field(None, description="the first training images; null: all")
    n_validation: PositiveInt = Field(2000, description="of the test images, drawn once and for all; at most a fifth")
    n_test: PositiveInt | None = Field(None, description="of the other test images; null: all")
    augment: bool = Field(False, description="flips and crops while the net is trained")

    def shared(self) -> dict[str, Any]:
        """All that the trained net depends on."""
        return {name: getattr(self, name) for name in ImageNet.model_fields}


class ImagePosterior(ImageNet, Inference):
    """A method on the last layer or on all layers of a net, and the data that it is measured on."""

    others: tuple[Other, ...] = Field(
        (), description="data sets that the net was not trained on; those that are not there are left out"
    )
    averaged: tuple[Other, ...] = Field((), description="those that a published mean over other data is of")
    n_others: PositiveInt | None = Field(None, description="the first test images of each; null: all")
    angles: tuple[NonNegativeInt, ...] = Field((), description="degrees by which test images are rotated")
    n_rotated: PositiveInt | None = Field(None, description="the first test images are rotated; null: all")
    severities: tuple[Severity, ...] = Field(
        (), description="of corruptions of test images, by our own transforms and by CIFAR-10-C's files where present"
    )
    n_corrupted: PositiveInt = Field(2000, description="the first test images are corrupted, by each kind")
    reference: bool = Field(True, description="measure draws of weights against those of HMC (scope last or whole)")

    def datasets(self) -> tuple[str, ...]:
        """The data that the net is trained on."""
        return (self.dataset,)

    def optional_datasets(self) -> tuple[str, ...]:
        """The other data sets, and CIFAR-10-C."""
        corrupted = ("cifar10-c",) if self.severities and self.dataset == "cifar10" else ()
        return (*(name for name in self.others if name != self.dataset), *corrupted)
