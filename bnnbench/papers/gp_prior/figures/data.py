"""Tables of UCI, MNIST, latents of units, and the cost of a step."""

from typing import TYPE_CHECKING

from bnnbench.harness.charts import entropies, first_tables, measured, rows
from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.figure import PALETTE, figure
from bnnbench.papers.gp_prior.experiments.cost import WIDTHS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

ACTIVE, MNIST, FEW, EMBEDDINGS, COST = (
    f"gp_prior/{name}" for name in ("active", "mnist", "few-labels", "embeddings", "cost")
)
METHODS = {
    "map": "point estimate",
    "mfvi": "mean field",
    "mfvi-last": "mean field, last layer",
    "metaprior": "MetaPrior",
    "metagp": "MetaGP",
    "local-rbf": "local MetaGP, RBF",
    "metagp-all": "MetaGP, all layers, det",
    "metagp-all-diag": "MetaGP, all layers, diag",
    "gp": "GP, RBF",
    "dropout": "MC dropout",
    "ensemble": "ensemble of 5",
    "laplace": "last-layer Laplace",
}
ASKING = ("mfvi", "metagp", "local-rbf", "metaprior", "gp", "dropout", "ensemble")
SHOWN = {"map": ":", "mfvi": (0, (5, 1)), "metagp": "--", "local-rbf": "-", "metagp-all": (0, (1, 1)), "ensemble": "-."}


@figure(
    "active_learning",
    "Active learning on a table of UCI",
    "Root mean squared error and negative log-likelihood on test rows against the number of labels; labels are asked "
    "for where the prediction has most variance (solid) or at random (dashed). Means over splits, bars their standard "
    "errors.",
    source="of ours; which tables the paper has is not known",
    experiments=[ACTIVE],
)
def active_learning(results: Results) -> "Canvas":
    """A line a method and way to ask, for the table of energy efficiency."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 3.2))
    panels = canvas.subplots(1, 2)
    for k, variant in enumerate(ASKING):
        label = METHODS[variant]
        for acquire, style in (("uncertain", "-"), ("random", "--")):
            try:
                table = results.table(ACTIVE, f"{variant},dataset=uci-energy,acquire={acquire}", "rounds")
            except NotRun:
                continue
            by_label = table.groupby("labels")
            for axes, metric in zip(panels, ("rmse", "nll"), strict=True):
                mean, error = by_label[metric].mean(), by_label[metric].sem().fillna(0)
                text = label if acquire == "uncertain" and metric == "rmse" else None
                axes.errorbar(mean.index, mean, error, color=PALETTE[k], linestyle=style, label=text, capsize=2)
    if not panels[0].containers:
        results.table(ACTIVE, "metagp,dataset=uci-energy,acquire=uncertain", "rounds")  # raises NotRun with the reason
    panels[0].set(xlabel="labels", ylabel="RMSE, energy (kWh/m²)")
    panels[1].set(xlabel="labels", ylabel="NLL (nats)")
    canvas.legend(loc="outside lower center", ncols=4)
    return canvas


@figure(
    "mnist",
    "MNIST and other images",
    "Accuracy, negative log-likelihood, and the area under the ROC curve by which other data are told from the test "
    "images. Points are seeds, bars their mean with its 95 % interval.",
    source="of ours; which other data the paper has is not known",
    experiments=[MNIST],
)
def mnist(results: Results) -> "Canvas":
    """A row a method."""
    metrics = {
        "accuracy": "accuracy (%)",
        "nll": "NLL (nats)",
        "auroc_fashion-mnist": "AUROC (%)\nFashion-MNIST",
        "auroc_kmnist": "AUROC (%)\nKMNIST",
        "auroc_notmnist": "AUROC (%)\nnotMNIST",
    }
    return rows(results, MNIST, METHODS, metrics)


@figure(
    "mnist_entropies",
    "Entropy of predictions for MNIST and other images",
    "Share of images whose predictive entropy is at most the value below: test images should be far left, other data "
    "far right. Means of quantiles over seeds.",
    source="of ours",
    experiments=[MNIST],
)
def mnist_entropies(results: Results) -> "Canvas":
    """A panel a data set, a line a method."""
    return entropies(results, MNIST, {name: METHODS[name] for name in SHOWN}, list(SHOWN.values()))


@figure(
    "few_labels",
    "MNIST with few labels",
    "Accuracy and negative log-likelihood after training on 100 to 1,000 labelled images. Points are seeds, bars "
    "their mean with its 95 % interval.",
    source="the abstract of the workshop version speaks of few samples",
    experiments=[FEW],
)
def few_labels(results: Results) -> "Canvas":
    """A row a method and number of labels."""
    variants = {f"{name},n_train={n}": f"{label}, {n:,}" for n in (100, 500, 1000) for name, label in METHODS.items()}
    return rows(results, FEW, variants, {"accuracy": "accuracy (%)", "nll": "NLL (nats)"})


@figure(
    "latents",
    "Latents of units",
    "Means of the two latent dimensions of a net for MNIST whose weights all come from the process: pixels, hidden "
    "units and classes; the largest mark is the constant unit. First seed, after pixels were permuted and learned "
    "anew.",
    source="of ours",
    experiments=[EMBEDDINGS],
)
def latents(results: Results) -> "Canvas":
    """A panel a layer."""
    from matplotlib.figure import Figure as Canvas

    tables = first_tables(results, EMBEDDINGS, {"pixels": "", "averaged": ""}, "latents")
    table = next(iter(tables.values()))
    titles = {0: "pixels", 1: "hidden units", 2: "classes"}
    canvas = Canvas(figsize=(7.2, 2.6))
    panels = canvas.subplots(1, len(titles))
    for axes, (layer, title) in zip(panels, titles.items(), strict=True):
        own = table[table["layer"] == layer]
        axes.plot(own["first"], own["second"], "o", markersize=2.5, color=PALETTE[layer], alpha=0.7)
        if layer < 2:
            axes.plot(own["first"].iloc[-1], own["second"].iloc[-1], "*", markersize=11, color="0.1")
        else:
            for k, (first, second) in enumerate(zip(own["first"], own["second"], strict=True)):
                axes.annotate(str(k), (first, second))
        axes.set(title=title, xlabel="z₁")
    panels[0].set_ylabel("z₂")
    return canvas


@figure(
    "embeddings",
    "New latents of the inputs alone",
    "Test error of a net whose weights all come from the process: before pixels are permuted, with the old latents "
    "after it, after learning the inputs' latents anew with all else as it was, and after learning everything anew "
    "for as many steps.",
    source="of ours, after an idea of the forerunner",
    experiments=[EMBEDDINGS],
)
def embeddings(results: Results) -> "Canvas":
    """A row a size of images."""
    metrics = {
        "error": "before (%)",
        "error_permuted": "permuted (%)",
        "error_inputs": "inputs anew (%)",
        "error_scratch": "all anew (%)",
    }
    return rows(results, EMBEDDINGS, {"pixels": "all pixels", "averaged": "14 x 14 pixels"}, metrics)


@figure(
    "cost",
    "A training step against the number of weights",
    "CPU time of the bound with its gradient (left) and peak of memory during it (right), for nets with two hidden "
    "layers of 50 to 400 units, 100 points, two draws and 30 inducing codes. The dense form makes the moments of "
    "every weight.",
    source="of ours; the published review asks about scalability",
    experiments=[COST],
)
def cost(results: Results) -> "Canvas":
    """A line a form."""
    from matplotlib.figure import Figure as Canvas

    forms = {
        "global": "MetaGP", "global-det": "MetaGP, det", "local": "local", "local-det": "local, det",
        "local-dense": "local, dense form",
    }  # fmt: skip
    canvas = Canvas(figsize=(7.2, 3.0))
    panels = canvas.subplots(1, 2)
    for k, (form, label) in enumerate(forms.items()):
        for axes, metric in zip(panels, ("step_ms", "step_memory"), strict=True):
            points = []
            for width in WIDTHS:
                weights = measured(results, COST, form, f"n_weights_{width}")
                found = measured(results, COST, form, f"{metric}_{width}")
                if weights and found and any(found.values()):  # a step may take no memory beyond what is free
                    points.append((next(iter(weights.values())), sum(found.values()) / len(found)))
            if points:
                axes.plot(
                    *zip(*points, strict=True), "o-", color=PALETTE[k], label=label if metric == "step_ms" else None
                )
    if not panels[0].lines:
        results.values(COST, "local", f"step_ms_{WIDTHS[0]}")  # raises NotRun with the reason
    panels[0].set(ylabel="CPU time of a step (ms)")
    panels[1].set(ylabel="memory of a step (MB)")
    for axes in panels:
        axes.set(xscale="log", xlabel="weights", yscale="log" if axes.lines else "linear")
        axes.set_xticks([3000, 10_000, 30_000, 100_000], ["3,000", "10,000", "30,000", "100,000"])
        axes.minorticks_off()
        axes.set_xlim(2500, None)
    canvas.legend(loc="outside lower center", ncols=5)
    return canvas
