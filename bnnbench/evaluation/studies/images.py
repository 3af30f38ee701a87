"""A method that classifies images: calibration, other data, shifts, and distance of its draws to reference draws."""

from typing import TYPE_CHECKING, Any, get_args

from bnnbench.errors import UserError
from bnnbench.evaluation import measures
from bnnbench.evaluation.image_params import ANGLES, ImagePosterior, Other, Severity
from bnnbench.harness.experiment import Outcome, study
from bnnbench.harness.run import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bnnbench.bayes.posterior import ClassPredictive, Posterior
    from bnnbench.evaluation.case import ReferenceCase
    from bnnbench.evaluation.images import Splits
    from bnnbench.evaluation.problem import Origin, Problem

METRICS = (
    *measures.CLASSES,
    *measures.WEIGHTS,
    *measures.CHAINS,
    *measures.COST,
    *measures.other_data(get_args(Other)),
    *measures.rotations(ANGLES),
    *measures.corruptions(get_args(Severity)),
)


@study(params=ImagePosterior, metrics=METRICS)
def images(params: ImagePosterior, run: Run) -> Outcome:
    """Fits the method and measures its predictions, and its draws of the weights against those of HMC."""
    from bnnbench.evaluation import inference
    from bnnbench.evaluation.problem import reference

    data, here = posed(params, run)
    posterior, cost = inference.fit(params.method, params.filled(), here, run)
    outcomes = [Outcome(cost), measured(posterior, here, data, params, run)]
    drawn: Any = posterior
    same_weights = params.scope != "all" and hasattr(drawn, "sample")  # otherwise others are drawn, or none
    if params.reference and same_weights:
        outcomes.append(inference.compared(drawn.sample, reference(here, sampler(params), run).draws, run))
    return inference.merged(*outcomes)


def posed(params: ImagePosterior, run: Run) -> "tuple[Splits, Problem]":
    """The images, and the problem that the method is given."""
    from bnnbench.evaluation.images import splits
    from bnnbench.evaluation.problem import problem

    data = splits(params, run)
    return data, problem(params.scope, origin(params, data), run)


def measured(posterior: "Posterior", here: "Problem", data: "Splits", params: ImagePosterior, run: Run) -> Outcome:
    """Measures of predictions at test images, at shifted images and at other data, and the posterior's diagnostics."""
    from bnnbench.evaluation import inference, scores, shift

    def predict(pictures: "Tensor") -> "ClassPredictive":
        return _classes(inference.predict(posterior, here.inputs(pictures), params.n_draws, run), params.method)

    test, latency = inference.timed(predict, data.x_test, run)
    return inference.merged(
        Outcome({**scores.class_scores(test, data.y_test), **latency}),
        inference.diagnosed(posterior, here.inputs(data.x_test[: inference.DIAGNOSED])),
        shift.other_data(predict, test, params, run),
        shift.rotations(predict, data, params),
        shift.corruptions(predict, data, params, run),
    )


def reference_case(params: ImagePosterior, run: Run) -> "ReferenceCase":
    """The posterior that methods are compared with: of the last layer, or of all weights of the trained net."""
    from bnnbench.evaluation.case import case

    data, here = posed(params.model_copy(update={"scope": "last"}) if params.scope == "all" else params, run)
    return case(here, sampler(params), run, (data.x_test, data.y_test))


def sampler(params: ImagePosterior) -> dict[str, Any]:
    """Options of the HMC that gives reference draws."""
    return {"precision": params.precision, "sampling": params.sampling()}


def origin(params: ImagePosterior, data: "Splits") -> "Origin":
    """The net of `params` and the images that train it."""
    from bnnbench.bayes.method import Train
    from bnnbench.evaluation.images import flip_and_crop
    from bnnbench.evaluation.networks import image_net, initialised
    from bnnbench.evaluation.problem import Origin

    def new(run: Run) -> "nn.Module":
        shape = data.x_train.shape[1:]
        net = image_net(params.net, shape, data.n_classes, params.width, params.depth, params.affine)
        return initialised(net, run.generator("init")).to(run.device)

    augment = flip_and_crop if params.augment else None
    train = Train(data.x_train, data.y_train, validation=(data.x_validation, data.y_validation), augment=augment)
    return Origin(new, train, params.training(), params.shared(), (params.dataset,))


def _classes(predictive: Any, method: str) -> "ClassPredictive":
    from bnnbench.bayes.posterior import ClassPredictive

    if not isinstance(predictive, ClassPredictive):
        raise UserError(
            f"method {method!r} predicts {type(predictive).__name__}; images are classified, so take another"
        )
    return predictive
