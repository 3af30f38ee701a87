"""Parameters of a study of a table: which rows train, the net, the noise, and the method."""

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from bnnbench.evaluation.params import Inference, PointTraining, Scope


class TablePosterior(PointTraining, Inference):
    """A method on a net that predicts the target of a table: real numbers, or classes."""

    dataset: str = Field("uci-boston", description="a registered table")
    split: NonNegativeInt | None = Field(None, description="of its published splits; null: that of the seed's number")
    n_train: PositiveInt | None = Field(None, description="the first rows of the split's training part; null: all")
    validation: NonNegativeFloat = Field(0.0, lt=1, description="share of them held out for methods that tune")
    widths: tuple[PositiveInt, ...] = Field((50,), description="units of each hidden layer")
    activation: Literal["relu", "tanh"] = "relu"
    noise: PositiveFloat | Literal["learned", "heteroscedastic"] = Field(
        "learned", description="of real targets: a standard deviation in units of theirs, or how it is inferred"
    )
    scope: Scope = "all"
    reference: bool = Field(False, description="measure draws of weights against those of HMC (scope last or whole)")

    def shared(self) -> dict[str, Any]:
        """All that a trained net depends on."""
        names = ("dataset", "split", "n_train", "validation", "widths", "activation", "noise")
        return {name: getattr(self, name) for name in (*names, *PointTraining.model_fields)}

    def datasets(self) -> tuple[str, ...]:
        """The table."""
        return (self.dataset,)
