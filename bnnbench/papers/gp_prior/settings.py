"""Parameters that the experiments of the paper share; nothing here imports torch."""

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from bnnbench.harness.experiment import Params

OWN_PRIOR = ("metagp", "metaprior", "gp")
"""Methods that have a prior of their own; all others get the prior of the toy nets."""
Activation = Literal["relu", "tanh"]


class Toy(Params):
    """A method on a small net for points that are made and not read; a seed is a data set."""

    method: str = Field("metagp", description="a registered method")
    options: dict[str, Any] = Field({}, description="its parameters")
    width: PositiveInt = Field(20, description="units of the hidden layer")
    activation: Activation = "relu"
    prior: Literal["fan-in", "process"] = Field(
        "fan-in",
        description="of methods that have none of their own: N(0, factor^2 / fan_in), or the process over codes",
    )
    factor: PositiveFloat = Field(3.0, description="of the standard deviation 1 / sqrt(fan_in)")
    n_draws: PositiveInt = Field(200, description="of a prediction")

    @model_validator(mode="after")
    def _has_one_prior(self) -> "Toy":
        if self.prior != "fan-in" and self.method in OWN_PRIOR:
            raise ValueError(f"prior: {self.method} has its own; leave prior out")
        return self

    def methods(self) -> dict[str, dict[str, Any]]:
        """The method with its options."""
        return {self.method: self.options}


class Curve(Toy):
    """A method on points of a function of one number, with known noise."""

    data: Literal["gap", "cubic", "periodic", "trend"] = "gap"


class Plane(Toy):
    """A method that separates two classes in the plane."""

    data: Literal["banana", "moons"] = "moons"
    n_train: int = Field(100, ge=4, description="points with labels")
    radius: PositiveFloat = Field(6.0, description="of the circle where entropy is measured, in standardised units")

    def datasets(self) -> tuple[str, ...]:
        """The banana is read, and moons are made."""
        return ("banana",) if self.data == "banana" else ()
