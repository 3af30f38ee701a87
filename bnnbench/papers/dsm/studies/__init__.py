"""How the experiments of the paper compute: several differ in their parameters alone, and share a study."""
