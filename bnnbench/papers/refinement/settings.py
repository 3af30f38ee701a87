"""Parameters of the experiments on trained nets, and the metrics that they share."""

from typing import Any, Literal, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from bnnbench.harness.experiment import Metric, Params

Other = Literal["mnist", "kmnist", "emnist-digits", "notmnist", "svhn", "lsun", "cifar10", "cifar100", "tiny-imagenet"]
Severity = Literal[1, 2, 3, 4, 5]
ANGLES = tuple(range(0, 181, 15))  # of the published figure
# The three other data sets over which the published table averages.
PUBLISHED_OTHERS = {
    "fashion-mnist": ("mnist", "kmnist", "emnist-digits"),
    "cifar10": ("svhn", "lsun", "cifar100"),
    "cifar100": ("svhn", "lsun", "cifar10"),
}
AWAY, CORRUPTED = "Other data", "Corrupted test images"

METRICS = (
    Metric("accuracy", "%", True, description="of the mean of softmax over draws"),
    Metric("nll", "nats", False, description="mean negative log-likelihood"),
    Metric("brier", "", False, description="Brier score, from 0 to 2"),
    Metric("ece_published", "%", False, description="calibration error as published: 100 bins, the last one left out"),
    Metric("ece_100", "%", False, description="calibration error with 100 bins"),
    Metric("ece_15", "%", False, description="calibration error with 15 bins"),
    Metric("mmc", "%", description="mean of the largest probability"),
    Metric("mmd_published", "", False, description="squared MMD to HMC draws, biased, width from both samples"),
    Metric("mmd", "", False, description="squared MMD to HMC draws, unbiased, one width for all methods"),
    Metric("mmd_floor", "", description="what mmd_published has for two samples of one distribution"),
    Metric("weight_std", "", description="mean over weights of their standard deviation under the posterior"),
    Metric("prior_precision", "", description="of a Laplace approximation"),
    Metric("rhat", "", False, description="mean split R-hat over the parameters of the sampled chains"),
    Metric("rhat_max", "", False, description="largest split R-hat of a parameter of the sampled chains"),
    Metric("fit_seconds", "s", False, description="time of the fit, without training the net"),
    Metric("fit_cpu_seconds", "s", False, description="CPU time of the fit: other jobs beside it do not count"),
    Metric("fpr95_mean", "%", False, "mean over the three other data sets of the published table", AWAY),
    *(
        Metric(f"{kind}_{other}", "%", better, f"{text}, {other} as the other data", AWAY)
        for other in get_args(Other)
        for kind, better, text in (
            ("fpr95", False, "false positives at 95 % true positives by the largest probability"),
            ("auroc", True, "area under the ROC curve by the largest probability"),
        )
    ),
    *(
        Metric(f"nll_rotated_{angle}", "nats", False, f"of images turned by {angle} degrees", "Rotated test images")
        for angle in ANGLES
    ),
    *(
        Metric(f"nll_cifar10c_{severity}", "nats", False, f"on CIFAR-10-C's own files, severity {severity}", CORRUPTED)
        for severity in (0, *get_args(Severity))
    ),
    *(
        Metric(
            f"nll_corrupted_{severity}", "nats", False, f"by our own transforms, severity {severity} of 5", CORRUPTED
        )
        for severity in get_args(Severity)
    ),
)


class TrainedNet(Params):
    """What is trained, on what, and how: the point estimate that all methods of the last layer start from."""

    dataset: str = Field("fashion-mnist", description="a registered set of images that fit in memory")
    net: Literal["lenet", "wrn-16-4", "convnet", "mlp"] = "lenet"
    width: PositiveInt = Field(50, description="mlp: hidden units")
    side: PositiveInt | None = Field(None, description="pixels of a side that images are averaged down to")
    n_train: PositiveInt | None = Field(None, description="the first training images; null: all")
    n_validation: PositiveInt = Field(2000, description="of the test images, drawn once and for all; at most a fifth")
    n_test: PositiveInt | None = Field(None, description="of the other test images; null: all")
    augment: bool = Field(False, description="flips and crops while the net is trained")
    epochs: PositiveInt = 100
    batch_size: PositiveInt = 128
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    weight_decay: NonNegativeFloat = 5e-4

    def training(self) -> dict[str, Any]:
        """How the net is trained, as the parameters of a method's training."""
        names = ("epochs", "batch_size", "optimizer", "learning_rate", "schedule", "weight_decay")
        return {**{name: getattr(self, name) for name in names}, "nesterov": self.optimizer == "sgd"}

    def shared(self) -> dict[str, Any]:
        """All that the trained net depends on."""
        return {name: getattr(self, name) for name in TrainedNet.model_fields}


class Posterior(TrainedNet):
    """A method on a trained net's last layer or on all layers, and what it is measured against."""

    method: str = Field("map", description="a registered method")
    options: dict[str, Any] = Field({}, description="its parameters; 'target' stands for the target's prior precision")
    scope: Literal["last", "whole", "all"] = Field(
        "last", description="last: on fixed features; whole: all weights of the trained net; all: the method trains it"
    )
    n_draws: PositiveInt | None = Field(None, description="draws of a prediction; null: what the method deems right")
    precision: PositiveFloat = Field(510.0, description="prior precision of the target: HMC's and the flow's")
    ignore_bias: bool = Field(False, description="as published: the target's bias has no effect")
    chains: PositiveInt = Field(3, description="of HMC, the reference")
    chain_draws: PositiveInt = Field(200, description="of each chain")
    chain_warmup: PositiveInt = 50
    others: tuple[Other, ...] = Field(
        (), description="data sets that the net was not trained on; those that are not there are left out"
    )
    n_others: PositiveInt | None = Field(None, description="the first test images of each; null: all")
    angles: tuple[NonNegativeInt, ...] = Field((), description="degrees by which test images are rotated")
    n_rotated: PositiveInt | None = Field(None, description="the first test images are rotated; null: all")
    severities: tuple[Severity, ...] = Field(
        (), description="of corruptions of test images, by our own transforms and by CIFAR-10-C's files where present"
    )
    n_corrupted: PositiveInt = Field(2000, description="the first test images are corrupted, by each kind")

    @model_validator(mode="after")
    def _only_the_last_layers_bias_is_ignored(self) -> "Posterior":
        if self.ignore_bias and self.scope != "last":
            raise ValueError("ignore_bias is of the last layer; set scope: last, or leave it out")
        return self

    def datasets(self) -> tuple[str, ...]:
        """The data that the net is trained on."""
        return (self.dataset,)

    def optional_datasets(self) -> tuple[str, ...]:
        """The others, and CIFAR-10-C."""
        corrupted = ("cifar10-c",) if self.severities and self.dataset == "cifar10" else ()
        return (*(name for name in self.others if name != self.dataset), *corrupted)

    def methods(self) -> tuple[str, ...]:
        """The method."""
        return (self.method,)

    def filled(self) -> dict[str, Any]:
        """`options` with the target's precision in place of 'target'."""
        return {name: self.precision if value == "target" else value for name, value in self.options.items()}
