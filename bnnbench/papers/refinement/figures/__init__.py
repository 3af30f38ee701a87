"""The paper's figures and tables redrawn from results."""
