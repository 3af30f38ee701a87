"""Parameters of a study of a table: the training rows, the net, the noise, and the method."""

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

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


class ActiveLearning(TablePosterior):
    """A method that chooses the rows whose labels it asks for (Hernández-Lobato and Adams 2015, section 4.2).

    `split`, `n_train` and `validation` must not be set: a seed draws its own rows.
    """

    n_initial: PositiveInt = Field(20, description="rows with labels at the start")
    n_test: PositiveInt = Field(100, description="rows of the test")
    rounds: PositiveInt = Field(9, description="of labels asked for; the net is fitted anew after each")
    batch: PositiveInt = Field(1, description="labels a round")
    acquire: Literal["uncertain", "random"] = Field("uncertain", description="which rows labels are asked of")

    @model_validator(mode="after")
    def _fits_all_layers_of_rows_of_its_own(self) -> "ActiveLearning":
        if self.scope != "all" or self.reference:
            raise ValueError("active learning trains all layers anew in each round; leave out scope and reference")
        if self.split is not None or self.n_train is not None or self.validation:
            raise ValueError("active learning draws its own rows; leave out split, n_train and validation")
        return self
