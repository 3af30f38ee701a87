"""The reproduced papers, one room each, registered through the entry points `bnnbench.papers`."""
