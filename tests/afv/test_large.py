"""Fisher features of a network of keras.applications' size, with random weights."""

import resource

import keras
import numpy as np
import pytest

from tfzoo.afv import FisherVectorizer

GIB = 2**30


def energy(model):
    """The classifier as an energy model: the logsumexp of its logits."""
    logits = keras.ops.logsumexp(model.output, -1, keepdims=True)
    return keras.Model(model.input, logits)


@pytest.mark.slow
def test_folded_features_of_twenty_million_parameters_fit_in_memory(record_property):
    keras.utils.set_random_seed(0)
    model = keras.applications.ResNet50V2(
        weights=None, input_shape=(64, 64, 3), classes=10, classifier_activation=None
    )
    vectorizer = FisherVectorizer(
        energy(model),
        projection=1024,
        fold_first=True,
        parameters="*/kernel",
        memory=GIB,
        copy=False,
    )
    parameters = sum(vectorizer.gradients.sizes)
    assert parameters > 23e6 and vectorizer.size == 1024 and vectorizer.gradients.slow_layers == []
    x = np.random.default_rng(0).uniform(-1, 1, (20, 64, 64, 3)).astype("float32")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    features = vectorizer.adapt(x[:16]).transform(x[16:])
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(f"{parameters:,} parameters, 20 images: {grown:.2f} GiB more than the network's own")
    record_property("gib", round(grown, 2))
    assert features.shape == (4, 1024) and np.isfinite(features).all()
    assert grown < 3  # the rows of 20 images alone would take 1.9 GiB, and as much again to whiten
