"""The reproduced papers, one folder each, registered through the entry points `bnnbench.papers`."""
