"""Parameters that the paper's classifiers share: how a net is built, what it is fed, and how it is trained."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Metric, Params

METRICS = (
    Metric("test_error", "%", False, description="test error at the epoch with the lowest validation error"),
    Metric("validation_error", "%", False, description="lowest validation error"),
    Metric("best_epoch", "epochs", description="epoch with the lowest validation error, the last one in a tie"),
    Metric("epochs_to_converge", "epochs", False, description="first epoch within 1 point of the lowest"),
    Metric("train_loss", "", False, description="squared hinge loss of the last epoch"),
    Metric("saturated", "%", description="latent weights with |w| > 0.99 after training"),
    Metric("packed_error", "%", False, description="test error of the packed net"),
    Metric(
        "packed_disagreements_float32",
        "images",
        False,
        description="test images that the packed net classifies otherwise than the float32 net",
    ),
    Metric(
        "packed_disagreements", "images", False, description="of these, those on which the float64 net differs, too"
    ),
    Metric("memory_ratio", "x", True, description="bytes of the weights in float32 over those of the packed net"),
)


class Training(Params):
    """Parameters in which the Theano recipe (the default) and the Torch7 recipe differ, and those of ablations."""

    dataset: str
    weights: Literal["float", "binary", "stochastic"] = "binary"
    activation: Literal["relu", "hardtanh", "sign", "stochastic-sign"] = "sign"
    gradient_mask: bool = Field(True, description="cancel gradients of activations where |x| > 1")
    norm: Literal["standard", "shift", "shift-paper"] = Field(
        "standard", description="BatchNorm, or shift-based as in the Torch7 code or as printed; the last is standard"
    )
    preprocessing: Literal["scale", "standardize", "zca", "zca-twice", "gcn-zca", "gcn-lcn"] = Field(
        "scale", description="pixels to [-1, 1]; global mean and deviation; whitening; contrast normalisation"
    )
    n_train: PositiveInt
    n_validation: PositiveInt
    n_test: PositiveInt | None = Field(None, description="the first test images; null: all")
    epochs: PositiveInt
    batch_size: PositiveInt
    optimizer: Literal["adam", "shift-adamax", "shift-adamax-paper"] = "adam"
    learning_rate: PositiveFloat
    learning_rate_ratio: PositiveFloat = Field(1, le=1, description="last learning rate over the first, exponentially")
    halve_every: PositiveInt | None = Field(None, description="epochs after which the learning rate is halved, too")
    scale_learning_rate: bool = Field(True, description="per-layer learning-rate scale for binary weights")
    round_scale: bool = Field(False, description="round that scale to a power of two")
    scale_gammas: bool = Field(False, description="a learning-rate scale for the gamma of BatchNorm, too")
    clip: Literal["latent", "all", "none"] = Field(
        "latent", description="parameters that are clipped to [-1, 1] after each step"
    )

    def datasets(self) -> tuple[str, ...]:
        """The one data set."""
        return (self.dataset,)

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0: `learning_rate * ratio^(epoch / epochs)`, halved in steps."""
        halvings = epoch // self.halve_every if self.halve_every else 0
        return float(self.learning_rate * self.learning_rate_ratio ** (epoch / self.epochs) * 0.5**halvings)


class MLP(Training):
    """Parameters of `binarized/mnist-mlp`."""

    dataset: str = "mnist"
    width: PositiveInt = 4096
    depth: PositiveInt = Field(3, description="hidden layers")
    dropout_input: NonNegativeFloat = Field(0.2, lt=1)
    dropout_hidden: NonNegativeFloat = Field(0.5, lt=1)
    n_train: PositiveInt = 50_000
    n_validation: PositiveInt = 10_000
    epochs: PositiveInt = 1000
    batch_size: PositiveInt = 100
    learning_rate: PositiveFloat = 0.003
    learning_rate_ratio: PositiveFloat = Field(1e-4, le=1, description="last learning rate over the first")


class ConvNet(Training):
    """Parameters of `binarized/cifar10-convnet` and `binarized/svhn-convnet`."""

    maps: PositiveInt = Field(128, description="maps of the first two convolutions; twice, four times as many follow")
    width: PositiveInt = Field(1024, description="units of the two dense layers")
    n_train: PositiveInt = 45_000
    n_validation: PositiveInt = 5_000
    epochs: PositiveInt = 500
    batch_size: PositiveInt = 50
    learning_rate: PositiveFloat = 0.001
    learning_rate_ratio: PositiveFloat = Field(3e-4, le=1, description="last learning rate over the first")
