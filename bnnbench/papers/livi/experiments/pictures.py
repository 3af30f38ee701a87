"""Methods on all weights of a net for images, with the dependence between its layers."""

from bnnbench.evaluation import measures
from bnnbench.evaluation.image_params import ImagePosterior
from bnnbench.evaluation.studies import images
from bnnbench.harness.experiment import Outcome, study
from bnnbench.harness.run import Run

DRAWS = 200  # of all weights, from which correlations are computed
FEWEST = 20


@study(params=ImagePosterior, metrics=(*images.METRICS, *measures.DEPENDENCE))
def pictures(params: ImagePosterior, run: Run) -> Outcome:
    """What the study of images measures, and the correlations of drawn weights across layers."""
    from torch import Generator

    from bnnbench.bayes.network import WholeNet
    from bnnbench.evaluation import inference
    from bnnbench.evaluation.dependence import across_layers, layer_sizes

    data, here = images.posed(params, run)
    posterior, cost = inference.fit(params.method, params.filled(), here, run)
    outcomes = [Outcome(cost), images.measured(posterior, here, data, params, run)]
    net = getattr(posterior, "net", None)
    if params.scope == "all" and isinstance(net, WholeNet) and hasattr(posterior, "sample"):
        draws = posterior.sample(DRAWS, Generator().manual_seed(run.seed + 2))
        if len(draws) >= FEWEST:
            together, apart = across_layers(draws, layer_sizes(net), run.generator("pairs"))
            outcomes.append(Outcome({"correlation": together, "correlation_floor": apart}))
    return inference.merged(*outcomes)
