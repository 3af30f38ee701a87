"""What the samplers of the arena give and cost."""

from typing import TYPE_CHECKING

from bnnbench.harness.charts import rows
from bnnbench.harness.collect import Results
from bnnbench.harness.figure import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

LABELS = {
    "numpyro": "NumPyro, its own call",
    "ours": "bnnbench, all layers",
    "integrated": "bnnbench, last layer\nintegrated out",
    "nutpie": "nutpie, diagonal",
    "nutpie-low-rank": "nutpie, low rank",
    "mclmc": "BlackJAX MCLMC",
}


@figure(
    "samplers",
    "Samplers on one posterior",
    "Effective draws of predictions (median over new points) for a CPU-second of sampling and for 1,000 gradients of "
    "the kept draws, CPU time of sampling and of compilation, and the error of the posterior mean of predictions in "
    "deviations of long chains. Points are data sets, bars their mean with its 95 % interval.",
    source="a study of ours",
    experiments=["dsm/samplers"],
)
def samplers(results: Results) -> "Canvas":
    """A row a sampler."""
    metrics = {
        "ess_per_cpu_second": "draws for a\nCPU-second",
        "ess_per_1000_gradients": "draws for\n1,000 gradients",
        "sampling": "sampling\n(CPU-s)",
        "compilation": "compilation\n(CPU-s)",
        "bias_mean": "error of means\n(deviations)",
    }
    return rows(results, "dsm/samplers", LABELS, metrics)
