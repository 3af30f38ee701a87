"""larq-compute-engine's time for two binary convolutions, in a Python of its own: it needs other versions than we do.

Started by `test_conv_against_larq`; answers each line on stdin with the CPU seconds of one inference.
"""

import os
import sys
import time

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CHANNELS, SIDE = 256, 16


def main() -> None:
    """Two 3x3 binary convolutions of 256 channels at 16 x 16 with BatchNorm, batch 1, on one thread."""
    import larq
    import larq_compute_engine
    import numpy as np
    import tf_keras

    options = {
        "kernel_size": 3,
        "padding": "same",
        "pad_values": 1.0,
        "use_bias": False,
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
    }
    layers = [tf_keras.layers.Input((SIDE, SIDE, CHANNELS))]
    for _ in range(2):
        layers += [larq.layers.QuantConv2D(CHANNELS, **options), tf_keras.layers.BatchNormalization(momentum=0.9)]
    model = larq_compute_engine.convert_keras_model(tf_keras.Sequential(layers))
    interpreter = larq_compute_engine.testing.Interpreter(model, num_threads=1)
    x = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (1, SIDE, SIDE, CHANNELS))
    interpreter.predict(x)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.thread_time()
        interpreter.predict(x)
        print(time.thread_time() - start, flush=True)


main()
