"""An arena of samplers on one posterior: what a CPU-second and a gradient give, and how far off they are."""

from bnnbench.harness.experiment import Metric, Outcome, study
from bnnbench.harness.run import Run
from bnnbench.papers.dsm.settings import Arena

METRICS = (
    Metric("ess_per_cpu_second", "1/s", True, "median over outputs of effective draws, for a CPU-second of sampling"),
    Metric("ess_per_1000_gradients", "", True, "the same for 1,000 gradients of the kept draws"),
    Metric("ess", "", True, "median over outputs of effective draws"),
    Metric("ess_least", "", True, "least effective draws of an output"),
    Metric("rhat_outputs", "", False, "largest rank-normalised split R-hat of an output"),
    Metric("sampling", "s", False, "CPU time of warm-up and draws"),
    Metric("compilation", "s", False, "CPU time in which JAX traced and compiled"),
    Metric("gradients", "", None, "of the kept draws"),
    Metric("bias_mean", "", False, "root mean square over outputs of the error of the mean, in reference deviations"),
    Metric("bias_deviation", "", False, "root mean square over outputs of log(deviation / reference deviation)"),
    Metric("reference_rhat", "", False, "largest R-hat of an output of the reference chains"),
)


@study(params=Arena, metrics=METRICS)
def samplers(params: Arena, run: Run) -> Outcome:
    """Draws of the net's outputs at new points, without noise, by one sampler; a seed is a data set."""
    from bnnbench.papers.dsm.arena import measured

    return Outcome(measured(params, run))
