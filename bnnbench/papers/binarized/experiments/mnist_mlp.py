"""The permutation-invariant MLP on MNIST (Section 2.1 and Table 1; the settings of the authors' Theano code)."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
from bnnbench.harness.run import Run

METRICS = (
    Metric("test_error", "%", False, description="test error at the epoch with the lowest validation error"),
    Metric("validation_error", "%", False, description="lowest validation error"),
    Metric("best_epoch", "epochs", description="epoch with the lowest validation error, the last one in a tie"),
    Metric("epochs_to_converge", "epochs", False, description="first epoch within 1 point of the lowest"),
    Metric("train_loss", "", False, description="squared hinge loss of the last epoch"),
    Metric("saturated", "%", description="latent weights with |w| > 0.99 after training"),
)


class MnistMLP(Params):
    """Parameters of `binarized/mnist-mlp`."""

    dataset: str = "mnist"
    weights: Literal["float", "binary", "stochastic"] = "binary"
    activation: Literal["relu", "hardtanh", "sign", "stochastic-sign"] = "sign"
    gradient_mask: bool = Field(True, description="cancel gradients of activations where |x| > 1")
    scale_learning_rate: bool = Field(True, description="per-layer learning-rate scale for binary weights")
    clip: bool = Field(True, description="clip latent weights to [-1, 1] after each step")
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

    def datasets(self) -> tuple[str, ...]:
        """The one data set."""
        return (self.dataset,)


@experiment("binarized/mnist-mlp", params=MnistMLP, metrics=METRICS)
def mnist_mlp(params: MnistMLP, run: Run) -> Outcome:
    """Trains one net and reports its test error at the epoch that validation chooses."""
    from bnnbench.papers.binarized.mlp import binary_mlp
    from bnnbench.papers.binarized.splits import classification_splits
    from bnnbench.papers.binarized.training import train

    splits = classification_splits(run.data(params.dataset), params.n_train, params.n_validation, run)
    net = binary_mlp(
        splits.n_features,
        splits.n_classes,
        width=params.width,
        depth=params.depth,
        weights=params.weights,
        activation=params.activation,
        gradient_mask=params.gradient_mask,
        dropout=(params.dropout_input, params.dropout_hidden),
        run=run,
    )
    trained = train(net, splits, params, run)
    return Outcome(trained.metrics, trained.tables, splits.warnings)
