"""`python -m bnnbench` is the `bnnbench` command."""

from bnnbench.cli import main

main()
