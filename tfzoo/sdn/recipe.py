"""SDN's task: sets of images to codes and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

import keras

from tfzoo import data, zoo
from tfzoo.data.images.image_sets import ImageSets, image_sets
from tfzoo.data.shapes import voxels
from tfzoo.errors import InputError
from tfzoo.recipe import Recipe
from tfzoo.registry import task
from tfzoo.sdn import evaluation, judges
from tfzoo.sdn.config import ImagesConfig, SetsConfig
from tfzoo.sdn.model import SetDistributionNetwork, make_adam
from tfzoo.sdn.monitor import CodeMonitor
from tfzoo.sdn.signatures import signatures
from tfzoo.serving import Signature
from tfzoo.training.run import Run

_KNOWN = {"tfzoo_shapes_views": voxels.COUNTS["train"], "omniglot": 868}
"""Training sets of data that a dry run does not prepare."""

_GUESS = 1000


def sets_info(config: ImagesConfig, sets: int | None = None) -> dict[str, Any]:
    """Steps of an epoch, and the number of training sets."""
    sets = sets or _KNOWN.get(config.data.name, _GUESS)
    steps = max(1, sets // config.batch_size)
    return {"steps_per_epoch": min(steps, config.steps_per_epoch or steps), "sets": sets}


Images = TypeVar("Images", bound=ImagesConfig)


class SetsRecipe(Recipe[Images]):
    """What the tasks share: three splits of sets."""

    def data_info(self, config: Images) -> dict[str, Any]:
        """Steps, by the sets of known data; of others a dry run only guesses them."""
        return sets_info(config)

    def sets(self, config: Images) -> dict[str, ImageSets]:
        """Train, validation and test."""
        return image_sets(config.data, config.image_size, config.channels)


@task("sdn.sets")
class SetModelling(SetsRecipe[SetsConfig]):
    """Sets of images, to codes, to sets."""

    config_class = SetsConfig

    def datasets(self, config: SetsConfig) -> data.Datasets:
        """`set_size` random images of each set; for validation and test the first ones."""
        sets = self.sets(config)
        stream = sets["train"].stream(
            config.set_size,
            batch_size=config.batch_size,
            seed=config.seed,
            steps_per_epoch=config.steps_per_epoch,
        )
        held = sets["validation"].batches(config.set_size, config.batch_size)
        # two halves of a set are compared in the evaluation
        test = sets["test"].batches(2 * config.half, config.batch_size)
        info = sets_info(config, len(sets["train"])) | {"steps_per_epoch": stream.steps_per_epoch}
        info |= {"all": sets, "config": config}
        return data.Datasets(stream, held, test, info)

    def build(self, config: SetsConfig, info: dict[str, Any]) -> SetDistributionNetwork:
        """The network, compiled."""
        made = SetDistributionNetwork(
            config.image_size,
            config.channels,
            pixel_mean=config.pixel_mean,
            pixel_std=config.pixel_std,
            seed=config.seed,
            **asdict(config.model),
        )
        rates, steps = config.optimizer, config.epochs * info["steps_per_epoch"]
        adam, g_adam = (
            make_adam(rates.schedule(rate, steps), rates.beta_1, rates.beta_2)
            for rate in (rates.rate, rates.g_rate)
        )
        made.compile(adam, g_adam, jit_compile=config.jit_compile)
        return made

    def train(
        self, model: SetDistributionNetwork, datasets: data.Datasets, run: Run[SetsConfig]
    ) -> None:
        """One `fit`, watched; leaves `samples/` in the run directory."""
        config = run.config
        images, mask = datasets.info["all"]["train"].arrays(config.set_size, config.monitor_sets)
        folder = run.directory / "samples" if run.chief else None
        monitor = CodeMonitor(images, mask, folder, config.monitor_every, config.seed)
        run.fit(model, datasets, [monitor])

    def evaluate(self, model: SetDistributionNetwork, datasets: data.Datasets) -> dict[str, float]:
        """Codes of the test sets, and what the config's judges say of their reconstructions."""
        config, sets = datasets.info["config"], datasets.info["all"]
        images, mask = sets["test"].arrays(2 * config.half, config.test_sets)
        whole = mask.all(1)  # two full halves
        if not whole.sum() >= 2:
            raise InputError(
                f"test_size={config.half}: {int(whole.sum())} test sets have twice that many "
                "images; must be at least 2"
            )
        images = images[whole]
        train_codes = model.encode(*sets["train"].arrays(config.half))
        found = evaluation.of_codes(model, images, train_codes, config.seed)
        if config.voxel_net:
            voxels = sets["test"].truth.get("voxels")
            if voxels is None:
                raise InputError(
                    f"voxel_net={config.voxel_net!r}: {config.data.name} has no voxels"
                )
            truth = judges.coarse(voxels[: len(mask)][whole])
            found |= evaluation.of_shapes(
                model, _judge(config.voxel_net), images, truth, config.seed
            )
        if config.verifier:
            found |= evaluation.of_identities(model, _judge(config.verifier), images, config.seed)
        return {k: float(v) for k, v in found.items()} | {"count": len(images)}

    def signatures(self, model: SetDistributionNetwork) -> dict[str, Signature]:
        """`serving_default`, `encode`, `reconstruct`, `sample`, `score`."""
        return signatures(model)


def _judge(name: str) -> keras.Model:
    return zoo.load(name)
