"""Studies that `paper.yaml` names (`study: bnnbench.evaluation.studies.images`); each has its own module."""
