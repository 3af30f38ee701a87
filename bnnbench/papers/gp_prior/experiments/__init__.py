"""The experiments of the paper: functions of the prior, toys, other embeddings, and cost against width."""
