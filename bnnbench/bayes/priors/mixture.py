"""Parameters of scale mixtures of normals over the weights of a net's first layers; nothing here imports torch."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator


class ScaleMixture(BaseModel):
    """A weight from input k to unit j is w_jk = s tau lambda~_jk sqrt(phi_jk) z_jk with z_jk ~ N(0, 1).

    tau is one scale for the layer. lambda~ is a heavy-tailed scale of a weight or of a unit, which a slab bounds:
    lambda~^2 = c_j^2 lambda^2 / (c_j^2 + tau^2 lambda^2) with c_j^2 ~ InvGamma. phi_j are the shares of the inputs in
    the variance of unit j. All weights and biases that are not shrunk are N(0, 1); in version C, N(0, 1 / width).

    The mixtures are those of Arnstad, Rønneberg, Storvik 2026, "Dirichlet Scale Mixture Priors for Bayesian Neural
    Networks"; the horseshoe and its slab are those of Piironen, Vehtari 2017.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scale: PositiveFloat | Literal["width"] = Field(
        1.0, description="s, a known standard deviation; 'width' is 1 / sqrt(units of the layer)"
    )
    spread: Literal["known", "unit", "sparse", "root-n"] = Field(
        "known",
        description="of tau: known is tau = 1; otherwise tau ~ HalfCauchy(tau0) with tau0 = 1, p0 / (p - p0) / "
        "sqrt(N) or 1 / sqrt(N), for p inputs of a unit and N training points",
    )
    active: PositiveFloat = Field(4.0, description="p0, the number of inputs that are expected to matter")
    local: Literal["none", "unit", "weight"] = Field("none", description="what has a lambda of its own")
    freedom: PositiveFloat = Field(1.0, description="degrees of freedom of lambda ~ half-t: 1 is the half-Cauchy")
    bound: PositiveFloat | None = Field(50.0, description="lambda is below this; null: no bound")
    slab_shape: PositiveFloat = 2.0
    slab_scale: PositiveFloat = 4.0
    share: Literal["none", "dirichlet", "beta"] = Field(
        "none",
        description="phi: 1; Dirichlet(alpha, ...) for each unit; or independent Beta(alpha, (p - 1) alpha), which "
        "have the same marginals and do not compete",
    )
    concentration: PositiveFloat = Field(0.1, description="alpha")
    laplace: bool = Field(
        False, description="Dirichlet-Laplace: w_jk ~ Laplace(tau_j phi_jk), tau_j ~ Gamma(p alpha, 1/2)"
    )
    layers: PositiveInt = Field(1, description="how many of the first layers are shrunk")
    version: Literal["A", "B", "C"] = Field(
        "A",
        description="of the authors' code: A as above; B divides s by sqrt(p); C also divides s and the scale of all "
        "other weights by sqrt(width), leaves lambda unbounded, and has a log-normal noise",
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> "ScaleMixture":
        if self.laplace and (self.local != "none" or self.share != "dirichlet" or self.spread != "known"):
            raise ValueError("laplace has scales of its own; set share: dirichlet and leave spread and local out")
        if self.local != "none" and self.spread == "known":
            raise ValueError("local scales are regularised relative to tau; set spread, for example to sparse")
        return self

    def global_scale(self, fan_in: int, n_train: int) -> float:
        """tau0; `ValueError` where `active` is not smaller than the number of inputs."""
        if self.spread == "unit":
            return 1.0
        if self.spread == "root-n":
            return float(n_train**-0.5)
        if self.active >= fan_in:
            raise ValueError(
                f"prior: {self.active:g} of {fan_in} inputs are expected to matter (active); fewer than all must be"
            )
        return float(self.active / (fan_in - self.active) * n_train**-0.5)

    def known_scale(self, fan_in: int, fan_out: int) -> float:
        """The product of all fixed factors of a shrunk weight's standard deviation."""
        found = fan_out**-0.5 if self.scale == "width" else self.scale
        by_version = {"A": 1.0, "B": fan_in**-0.5, "C": (fan_in * fan_out) ** -0.5}
        return float(found * by_version[self.version])

    def rest_scale(self, width: int) -> float:
        """The standard deviation of weights and biases that are not shrunk, in a net of `width` hidden units."""
        return float(width**-0.5) if self.version == "C" else 1.0


FAMILIES: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "gaussian-width": {"scale": "width"},
    "gaussian-learned": {"spread": "unit"},
    "horseshoe": {"spread": "sparse", "local": "weight"},
    "dirichlet-horseshoe": {"spread": "sparse", "local": "unit", "share": "dirichlet"},
    "dirichlet-student": {"spread": "sparse", "local": "unit", "freedom": 3.0, "share": "dirichlet"},
    "beta-horseshoe": {"spread": "sparse", "local": "unit", "share": "beta"},
    "beta-student": {"spread": "sparse", "local": "unit", "freedom": 3.0, "share": "beta"},
    "dirichlet-tau": {"spread": "sparse", "share": "dirichlet"},
    "dirichlet": {"share": "dirichlet"},
    "dirichlet-laplace": {"share": "dirichlet", "laplace": True},
}
"""The named members of the family: two Gaussians with fixed scales, one with a learned scale, and the mixtures."""


def mixture(family: str, **changes: Any) -> ScaleMixture:
    """The member `family` of `FAMILIES` with changes; `KeyError` for a name that is not there."""
    return ScaleMixture(**{**FAMILIES[family], **changes})
