"""Keras 3 on torch, watched by a callback."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy

from gradcheck_health.keras import GradientHealth

keras.utils.set_random_seed(0)
model = keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.SGD(1e-8), loss="mse")
model.build((None, 8))
health = GradientHealth(every=10, on_sick=lambda finding: print(finding.rule))
x = numpy.random.default_rng(0).normal(size=(30 * 32, 8)).astype("float32")
model.fit(x, x[:, :1], batch_size=32, verbose=0, callbacks=[health])
print(health.report)
