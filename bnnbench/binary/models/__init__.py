"""Networks for photographs, built of layers that are real or binarized."""
