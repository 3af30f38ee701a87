"""Studies that `paper.yaml` names (`study: bnnbench.evaluation.studies.images`), a module each."""
