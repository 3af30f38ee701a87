"""AlexNet and GoogLeNet on ImageNet (NIPS text and the QNN companion), and the AlexNet of Larq Zoo."""

from bnnbench.harness.experiment import Metric, Outcome, experiment
from bnnbench.harness.run import Run
from bnnbench.papers.binarized.imagenet.settings import ImageNet

METRICS = (
    Metric("top1_accuracy", "%", True, description="after the last epoch, one centre crop of each validation image"),
    Metric("top5_accuracy", "%", True, description="the label is among the five largest outputs"),
    Metric(
        "best_top1_accuracy", "%", True, description="highest of all epochs, chosen on the same images: biased upwards"
    ),
    Metric("best_epoch", "epochs", description="epoch with the highest top-1 accuracy, the last one in a tie"),
    Metric("train_loss", "", False, description="loss at the end of the last epoch, auxiliary classifiers included"),
    Metric("images_per_second", "1/s", True, description="training images a second, all processes together"),
    Metric("parameters", "million", description="numbers of the net, running statistics included"),
    Metric("model_size", "MiB", False, description="with one bit for a binary weight and 32 for the rest"),
)


@experiment("binarized/imagenet", params=ImageNet, metrics=METRICS, parallel=True)
def imagenet(params: ImageNet, run: Run) -> Outcome:
    """Trains one net and reports its accuracy on the official validation images."""
    from bnnbench.errors import UserError
    from bnnbench.papers.binarized.imagenet.networks import build
    from bnnbench.papers.binarized.imagenet.splits import photo_splits
    from bnnbench.papers.binarized.imagenet.training import train

    if params.precision == "bfloat16" and run.device != "cuda":
        raise UserError("precision bfloat16 needs a GPU; use float32 on a CPU")
    splits = photo_splits(run.data(params.dataset), params.dataset, params.max_images)
    net = build(params, splits.n_classes, run)
    return Outcome(train(net, splits, params, run), warnings=splits.warnings)
