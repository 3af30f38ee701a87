"""All that a method in another package needs to import: data, priors, likelihoods, training, nets and posteriors."""

from bnnbench.bayes.journal import Journal, Stages
from bnnbench.bayes.layers import layers_of
from bnnbench.bayes.likelihood import Categorical, Gaussian, Heteroscedastic, LearnedNoise, Likelihood
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import LastLayerNet, WholeNet, flat, inferred_part, trainable
from bnnbench.bayes.posterior import ClassPredictive, Predictive, RealPredictive
from bnnbench.bayes.prior import IndependentNormal, IsotropicNormal, NumpyroPrior, Prior
from bnnbench.bayes.training import Training, descend, reinitialised, train_module
from bnnbench.bayes.weights import NetPosterior, Stored

__all__ = [
    "Categorical",
    "ClassPredictive",
    "Gaussian",
    "Heteroscedastic",
    "IndependentNormal",
    "IsotropicNormal",
    "Journal",
    "LastLayerNet",
    "LearnedNoise",
    "Likelihood",
    "MethodParams",
    "NetPosterior",
    "NumpyroPrior",
    "Predictive",
    "Prior",
    "RealPredictive",
    "Stages",
    "Stored",
    "Train",
    "Training",
    "WholeNet",
    "descend",
    "flat",
    "inferred_part",
    "layers_of",
    "method",
    "reinitialised",
    "train_module",
    "trainable",
    "trained",
]
