"""At which scales claims are judged."""

FULL = ("laptop", "paper")
PAPER = ("paper",)
