"""The paper's figures redrawn from results."""
