"""The task: from posed images of shapes to occupancy, with seen and unseen categories separate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from tfzoo import data
from tfzoo.config import check
from tfzoo.data.shapes.cameras import cameras_of
from tfzoo.data.shapes.captures import read_capture
from tfzoo.data.shapes.catalogue import camera_ranges, count_shapes, posed_shapes
from tfzoo.data.shapes.posed import PosedShapes
from tfzoo.errors import InputError
from tfzoo.recipe import Recipe
from tfzoo.recon3d import evaluation
from tfzoo.recon3d.config import ReconstructionConfig
from tfzoo.recon3d.meshes import FORMATS, save_mesh
from tfzoo.recon3d.metrics import OccupancyIoU
from tfzoo.recon3d.model import OccupancyReconstructor
from tfzoo.recon3d.scene import reconstruct_capture
from tfzoo.recon3d.signatures import signatures
from tfzoo.registry import task
from tfzoo.serving import Signature
from tfzoo.training.run import Run

_KNOWN, _GUESS = {"tfzoo_solids": 240, "varied_solids": 512}, 1000
"""Number of training shapes of data that a dry run does not prepare."""


@dataclass(frozen=True)
class ShapeDatasets(data.Datasets):
    """Batches, and the shapes from which they are drawn.

    Attributes:
        shapes: shapes by split: `train`, `validation`, `test` and `unseen`.
    """

    shapes: dict[str, PosedShapes]


def _info(config: ReconstructionConfig, count: int, **known: Any) -> data.Info:
    size = config.image_size
    return data.Info(
        data.epoch_steps(count, config.batch_size, config.steps_per_epoch),
        examples=count,
        shape=(size, size, 3),
        dtype="uint8",
        low=0.0,
        high=255.0,
        **known,
    )


@task("recon3d.occupancy")
class OccupancyReconstruction(Recipe[ReconstructionConfig, ShapeDatasets]):
    """Reconstruction of shapes by occupancy."""

    config_class = ReconstructionConfig
    formats = FORMATS
    own_data = {"tfzoo_meshes": ("data.unseen", "image_size")}

    def one_device(self, config: ReconstructionConfig) -> str:
        """The reason, which applies to every config."""
        return "since its conditional batch normalisation uses the moments of one device"

    def data_info(self, config: ReconstructionConfig) -> data.Info:
        """Steps, from the shapes of known data or of the path; otherwise they are guessed."""
        counted = count_shapes(config.data, config.image_size)
        if counted is not None:
            fits = config.batch_size <= counted
            check(fits, "batch_size", config.batch_size, f"at most {counted}, the training shapes")
        known = counted or _KNOWN.get(config.data.name)
        guesses = () if known else ("steps_per_epoch", "examples")
        return _info(config, known or _GUESS, guesses=guesses)

    def datasets(self, config: ReconstructionConfig) -> ShapeDatasets:
        """Random views and points of each shape; the first ones for validation and test."""
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
        info = _info(config, len(shapes["train"]))
        return ShapeDatasets(stream, held, test, info, shapes)

    def build(self, config: ReconstructionConfig, info: data.Info) -> keras.Model:
        """The network, compiled: binary cross-entropy over points, Adam."""
        ranges = camera_ranges(config.data)
        known = None if ranges is None else asdict(ranges)
        model = OccupancyReconstructor(**config.keywords(), camera_ranges=known)
        rate: Any = config.rate
        if config.decay == "cosine":
            steps = config.epochs * info.steps_per_epoch
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=[OccupancyIoU()],
            jit_compile=config.jit_compile,
        )
        return model

    def train(
        self, model: keras.Model, datasets: ShapeDatasets, run: Run[ReconstructionConfig]
    ) -> dict[str, float]:
        """One `fit`, then the choice of the best threshold on validation shapes."""
        run.fit(model, datasets)
        config, views = run.config, run.config.test_views[-1]
        held = datasets.shapes["validation"].arrays(views)
        model.threshold = evaluation.choose_threshold(model, held, views, list(config.thresholds))
        return {}

    def evaluate(
        self, model: keras.Model, datasets: ShapeDatasets, config: ReconstructionConfig
    ) -> dict[str, float]:
        """IoU on seen and unseen categories, of the visual hull, and in rotated worlds."""
        shapes = datasets.shapes
        views = list(config.test_views)
        metrics: dict[str, float] = {}
        for name, split in (("seen", "test"), ("unseen", "unseen")):
            metrics |= evaluation.of_split(model, shapes[split], views, name)
            if config.mesh_shapes:
                wanted = (views[-1], config.mesh_shapes, config.resolution, name)
                metrics |= evaluation.of_meshes(model, shapes[split], *wanted)
        metrics |= evaluation.of_gauge(model, shapes["test"], sorted({views[0], views[-1]}))
        return metrics | {"threshold": float(model.threshold)}

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default`, `occupancy`, `features`, `grid`."""
        return signatures(model)

    def save_answer(self, model: keras.Model, arrays: Mapping[str, np.ndarray], path: str) -> None:
        """The mesh of one object, from raw `images` [V, S, S, 3] and their cameras.

        Cameras are `cameras` [V, 3, 7], or `k`, `r` and `t`: see `tfzoo.recon3d.reconstruct`. A
        leading axis of size 1 is accepted, as in the signature `grid`.
        """
        if "images" not in arrays:
            raise InputError("must hold images, and cameras or k, r and t")
        if arrays["images"].ndim == 5:
            if {len(value) for value in arrays.values()} != {1}:
                raise InputError(f"images{list(arrays['images'].shape)}: must show one object")
            arrays = {name: value[0] for name, value in arrays.items()}
        mesh = model.reconstruct(arrays["images"], cameras_of(arrays))
        save_mesh(mesh, path)

    def save_folder(self, model: keras.Model, folder: str, path: str) -> None:
        """The mesh of a capture: see `tfzoo.data.shapes.captures`."""
        save_mesh(reconstruct_capture(model, read_capture(folder)), path)
