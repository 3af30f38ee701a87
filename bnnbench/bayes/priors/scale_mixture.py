"""Scale mixtures of normals over a net's weights; NumPyro samples, evaluates and differentiates this one definition.

All sites have coordinates without boundaries or with one at 0, and weights are non-centred: w = scale * z.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bnnbench.bayes.prior import NumpyroPrior, Shapes
from bnnbench.bayes.priors.mixture import ScaleMixture

if TYPE_CHECKING:
    import jax

NOISE_SHAPE, NOISE_SCALE = 3.0, 2.0  # of the inverse gamma prior of the noise's standard deviation
NOISE_LOG_SCALE = 0.5  # of the log-normal prior in version C


def scale_mixture(params: ScaleMixture, width: int, n_train: int, learns_noise: bool = True) -> NumpyroPrior:
    """The prior of a perceptron of `width` hidden units, with layers "0", "2", ..., for `n_train` training points.

    Sites of a shrunk layer are `<layer>.global`, `.local`, `.slab`, `.share` and `.raw`, and its prior standard
    deviation given them is `<layer>.scale` [fan_out, fan_in]. With `learns_noise` the standard deviation of the noise
    of real targets has the prior InvGamma(3, 2), and in version C a log-normal one. `ValueError` where more layers are
    to be shrunk than have weights to sample.
    """

    rest = params.rest_scale(width)

    def function(shapes: Shapes) -> Mapping[str, Any]:
        names = [name for name, shape in shapes.items() if len(shape) == 2]
        if len(names) < params.layers:
            raise ValueError(
                f"prior: {params.layers} layers are to be shrunk, and the net has {len(names)} below its last"
            )
        found = {}
        for name, shape in shapes.items():
            if name in names[: params.layers]:
                found[name] = shrunk(params, name.removesuffix(".weight"), shape[0], shape[1], n_train)
            else:
                found[name] = _normal(name, shape, rest)
        return {**found, "log_noise": log_noise(params)} if learns_noise else found

    return NumpyroPrior(function, rest, f"{params!r}, {width}, {n_train}, {learns_noise}")


def shrunk(params: ScaleMixture, name: str, fan_out: int, fan_in: int, n_train: int) -> "jax.Array":
    """The weights [fan_out, fan_in] of one layer, sampled within a NumPyro model."""
    import jax.numpy as jnp
    import numpyro

    raw = _normal(f"{name}.raw", (fan_out, fan_in), 1.0)
    known = params.known_scale(fan_in, fan_out)
    if params.laplace:
        scale = known * _laplace(params, name, fan_out, fan_in)
    else:
        scale = (
            known
            * _spread(params, name, fan_out, fan_in, n_train)
            * jnp.exp(0.5 * _log_share(params, name, fan_out, fan_in))
        )
    found: jax.Array = numpyro.deterministic(f"{name}.scale", jnp.broadcast_to(scale, raw.shape)) * raw
    return found


def log_noise(params: ScaleMixture) -> "jax.Array":
    """The logarithm [1] of the noise of real targets."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    law = dist.LogNormal(0.0, NOISE_LOG_SCALE) if params.version == "C" else dist.InverseGamma(NOISE_SHAPE, NOISE_SCALE)
    found: jax.Array = jnp.log(numpyro.sample("noise", law.expand([1]).to_event(1)))
    return found


def _spread(params: ScaleMixture, name: str, fan_out: int, fan_in: int, n_train: int) -> Any:
    """tau lambda~: a number, or an array that broadcasts to [fan_out, fan_in]."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    from bnnbench.bayes.priors.distributions import HalfStudent

    if params.spread == "known":
        return 1.0
    tau = numpyro.sample(f"{name}.global", dist.HalfCauchy(params.global_scale(fan_in, n_train)))
    if params.local == "none":
        return tau
    bound = None if params.version == "C" else params.bound
    shape = (fan_out, fan_in if params.local == "weight" else 1)
    local = numpyro.sample(f"{name}.local", HalfStudent(params.freedom, bound, shape).to_event(2))
    slab = numpyro.sample(
        f"{name}.slab", dist.InverseGamma(params.slab_shape, params.slab_scale).expand([fan_out, 1]).to_event(2)
    )
    return tau * local / jnp.sqrt(1 + (tau * local) ** 2 / slab)


def _log_share(params: ScaleMixture, name: str, fan_out: int, fan_in: int) -> Any:
    """log phi: 0, or [fan_out, fan_in]."""
    import jax
    import numpyro

    from bnnbench.bayes.priors.distributions import LogGamma, LogitBeta

    alpha, shape = params.concentration, (fan_out, fan_in)
    if params.share == "none":
        return 0.0
    if params.share == "dirichlet":
        return jax.nn.log_softmax(numpyro.sample(f"{name}.share", LogGamma(alpha, shape).to_event(2)), axis=-1)
    return jax.nn.log_sigmoid(
        numpyro.sample(f"{name}.share", LogitBeta(alpha, (fan_in - 1) * alpha, shape).to_event(2))
    )


def _laplace(params: ScaleMixture, name: str, fan_out: int, fan_in: int) -> "jax.Array":
    """tau_j phi_jk sqrt(psi_jk) [fan_out, fan_in] with psi ~ Exp(1/2); its normals are Laplace(tau_j phi_jk)."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    tau = numpyro.sample(
        f"{name}.global", dist.Gamma(fan_in * params.concentration, 0.5).expand([fan_out, 1]).to_event(2)
    )
    psi = numpyro.sample(f"{name}.local", dist.Exponential(0.5).expand([fan_out, fan_in]).to_event(2))
    found: jax.Array = tau * jnp.sqrt(psi) * jnp.exp(_log_share(params, name, fan_out, fan_in))
    return found


def _normal(name: str, shape: Any, scale: float) -> Any:
    import numpyro
    import numpyro.distributions as dist

    return numpyro.sample(name, dist.Normal(0.0, scale).expand(tuple(shape)).to_event(len(shape)))


def draws(
    params: ScaleMixture, shape: tuple[int, int], n_train: int, n_draws: int, seed: int = 0
) -> dict[str, "jax.Array"]:
    """Draws from the prior of one layer "0" of `shape`: its sites by name and "weight", all [n_draws, ...]."""
    import jax
    from numpyro.infer import Predictive

    def model() -> None:
        import numpyro

        numpyro.deterministic("weight", shrunk(params, "0", shape[0], shape[1], n_train))

    found: dict[str, jax.Array] = Predictive(model, num_samples=n_draws)(jax.random.PRNGKey(seed))
    return found
