"""The task: posed images of shapes to occupancy, seen and unseen categories apart."""

from __future__ import annotations

from typing import Any

import keras

from tfzoo import data
from tfzoo.data.shapes.catalogue import posed_shapes
from tfzoo.recipe import Recipe
from tfzoo.recon3d import evaluation
from tfzoo.recon3d.config import ReconstructionConfig
from tfzoo.recon3d.metrics import OccupancyIoU
from tfzoo.recon3d.model import OccupancyReconstructor
from tfzoo.recon3d.signatures import signatures
from tfzoo.registry import task
from tfzoo.serving import Signature
from tfzoo.training.run import Run

_KNOWN, _GUESS = {"tfzoo_solids": 240}, 1000
"""Training shapes of data that a dry run does not prepare."""


def shapes_info(config: ReconstructionConfig, shapes: int | None = None) -> dict[str, Any]:
    """Steps of an epoch, and the number of training shapes."""
    shapes = shapes or _KNOWN.get(config.data.name, _GUESS)
    steps = max(1, shapes // config.batch_size)
    return {"steps_per_epoch": min(steps, config.steps_per_epoch or steps), "shapes": shapes}


@task("recon3d.occupancy")
class OccupancyReconstruction(Recipe[ReconstructionConfig]):
    """Shapes by their occupancy."""

    config_class = ReconstructionConfig

    def data_info(self, config: ReconstructionConfig) -> dict[str, Any]:
        """Steps, by the shapes of known data; of others a dry run only guesses them."""
        return shapes_info(config)

    def datasets(self, config: ReconstructionConfig) -> data.Datasets:
        """Random views and points of each shape; for validation and test the first ones."""
        shapes = posed_shapes(config.data, config.image_size)
        stream = shapes["train"].stream(
            (config.min_views, config.max_views),
            config.points,
            batch_size=config.batch_size,
            seed=config.seed,
            steps_per_epoch=config.steps_per_epoch,
        )
        views = config.test_views[-1]
        held = shapes["validation"].batches(views, 1024, config.batch_size)
        test = shapes["test"].batches(views, 1024, config.batch_size)
        info = shapes_info(config, len(shapes["train"]))
        info |= {"steps_per_epoch": stream.steps_per_epoch, "all": shapes, "config": config}
        return data.Datasets(stream, held, test, info)

    def build(self, config: ReconstructionConfig, info: dict[str, Any]) -> keras.Model:
        """The network, compiled: binary cross-entropy over points, Adam."""
        model = OccupancyReconstructor(**config.keywords())
        rate: Any = config.rate
        if config.decay == "cosine":
            steps = config.epochs * info["steps_per_epoch"]
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=[OccupancyIoU()],
            jit_compile=config.jit_compile,
        )
        return model

    def train(
        self, model: keras.Model, datasets: data.Datasets, run: Run[ReconstructionConfig]
    ) -> None:
        """One `fit`, then the threshold that is best on the validation shapes."""
        run.fit(model, datasets)
        config, views = run.config, run.config.test_views[-1]
        held = datasets.info["all"]["validation"].arrays(views)
        model.threshold = evaluation.choose_threshold(model, held, views, list(config.thresholds))

    def evaluate(self, model: keras.Model, datasets: data.Datasets) -> dict[str, float]:
        """IoU on seen and unseen categories, of the visual hull, and in turned worlds."""
        config, shapes = datasets.info["config"], datasets.info["all"]
        views = list(config.test_views)
        found: dict[str, float] = {}
        for name, split in (("seen", "test"), ("unseen", "unseen")):
            found |= evaluation.of_split(model, shapes[split], views, name)
            if config.mesh_shapes:
                wanted = (views[-1], config.mesh_shapes, config.resolution, name)
                found |= evaluation.of_meshes(model, shapes[split], *wanted)
        found |= evaluation.of_gauge(model, shapes["test"], sorted({views[0], views[-1]}))
        return found | {"threshold": float(model.threshold)}

    def signatures(self, model: keras.Model) -> dict[str, Signature]:
        """`serving_default`, `occupancy`, `features`, `grid`."""
        return signatures(model)
