"""SDN's task: from sets of images to codes and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import keras
import numpy as np

from tfzoo import data, zoo
from tfzoo.config import check
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
"""Number of training sets of data that a dry run does not prepare."""

_GUESS = 1000


@dataclass(frozen=True)
class SetDatasets(data.Datasets):
    """Batches, and the sets from which they are drawn.

    Attributes:
        sets: sets by split: `train`, `validation` and `test`.
    """

    sets: dict[str, ImageSets]


def sets_info(config: ImagesConfig, count: int, channels: int, **known: Any) -> data.Info:
    """Properties of `count` training sets of images with `channels` channels."""
    return data.Info(
        data.epoch_steps(count, config.batch_size, config.steps_per_epoch),
        examples=count,
        shape=(config.image_size, config.image_size, channels),
        dtype="uint8",
        **known,
    )


def info_of(config: ImagesConfig, train: ImageSets) -> data.Info:
    """Properties of the training sets themselves."""
    low, high = train.limits
    known: dict[str, Any] = {"version": config.data.name, "low": low, "high": high}
    return sets_info(config, len(train), train.shape[-1], **known)


Images = TypeVar("Images", bound=ImagesConfig)
D = TypeVar("D", bound=data.Datasets)


class SetsRecipe(Recipe[Images, D]):
    """Base of the tasks: three splits of sets."""

    own_data = {"tfzoo_image_folder": ("image_size",)}

    def data_info(self, config: Images) -> data.Info:
        """Steps, from the sets of known data or of the path; otherwise they are guessed."""
        if config.data.path is not None:
            sets = self.sets(config)
            self.check(config, sets)
            return info_of(config, sets["train"])
        known = _KNOWN.get(config.data.name)
        guesses: tuple[str, ...] = () if known else ("steps_per_epoch", "examples")
        if config.channels is None:
            guesses += ("shape",)
        return sets_info(config, known or _GUESS, config.channels or 1, guesses=guesses)

    def sets(self, config: Images) -> dict[str, ImageSets]:
        """Train, validation and test."""
        return image_sets(config.data, config.image_size, config.channels)

    def check(self, config: Images, sets: dict[str, ImageSets]) -> None:
        """Raises `InputError` if there are too few sets for training and evaluation."""
        check(
            config.batch_size <= len(sets["train"]),
            "batch_size",
            config.batch_size,
            f"at most {len(sets['train'])}, the number of training sets",
        )


@task("sdn.sets")
class SetModelling(SetsRecipe[SetsConfig, SetDatasets]):
    """Maps sets of images to codes, and codes to sets."""

    config_class = SetsConfig

    def check(self, config: SetsConfig, sets: dict[str, ImageSets]) -> None:
        """Also checks that the evaluation has two test sets with two halves each."""
        super().check(config, sets)
        counts = sets["test"].counts[: config.test_sets]
        whole, most = int((counts >= 2 * config.half).sum()), int(np.sort(counts)[-2:][0])
        if whole < 2:
            advice = (
                f"test_size={most // 2} would work"
                if len(counts) > 1 and most > 1
                else ("use more sets, of at least two images")
            )
            raise InputError(
                f"test_size={config.half}: {whole} of {len(counts)} test sets have "
                f"{2 * config.half} images or more; must be at least 2; {advice}"
            )
        if config.voxel_net and "voxels" not in sets["test"].truth:
            raise InputError(f"voxel_net={config.voxel_net!r}: {config.data.name} has no voxels")

    def datasets(self, config: SetsConfig) -> SetDatasets:
        """`set_size` random images per set; the first ones for validation and test."""
        sets = self.sets(config)
        self.check(config, sets)
        stream = sets["train"].stream(
            config.set_size,
            batch_size=config.batch_size,
            seed=config.seed,
            steps_per_epoch=config.steps_per_epoch,
        )
        held = sets["validation"].batches(config.set_size, config.batch_size)
        # two halves of a set are compared in the evaluation
        test = sets["test"].batches(2 * config.half, config.batch_size)
        info = info_of(config, sets["train"])
        return SetDatasets(stream, held, test, info, sets)

    def build(self, config: SetsConfig, info: data.Info) -> SetDistributionNetwork:
        """The network, compiled."""
        network = SetDistributionNetwork(
            config.image_size,
            info.channels,
            **info.to_unit(config),
            seed=config.seed,
            **asdict(config.model),
        )
        rates, steps = config.optimizer, config.epochs * info.steps_per_epoch
        adam, g_adam = (
            make_adam(rates.schedule(rate, steps), rates.beta_1, rates.beta_2)
            for rate in (rates.rate, rates.g_rate)
        )
        network.compile(adam, g_adam, jit_compile=config.jit_compile)
        return network

    def train(
        self, model: SetDistributionNetwork, datasets: SetDatasets, run: Run[SetsConfig]
    ) -> dict[str, float]:
        """One monitored `fit`; writes `samples/` to the run directory."""
        config = run.config
        images, mask = datasets.sets["train"].arrays(config.set_size, config.monitor_sets)
        folder = run.directory / "samples" if run.chief else None
        monitor = CodeMonitor(images, mask, folder, config.monitor_every, config.seed)
        run.fit(model, datasets, [monitor])
        return {}

    def evaluate(
        self, model: SetDistributionNetwork, datasets: SetDatasets, config: SetsConfig
    ) -> dict[str, float]:
        """Metrics of the test sets' codes, and of their reconstructions by the config's judges."""
        sets = datasets.sets
        images, mask = sets["test"].arrays(2 * config.half, config.test_sets)
        whole = mask.all(1)  # two full halves
        images = images[whole]
        train_codes = model.encode(*sets["train"].arrays(config.half))
        metrics = evaluation.of_codes(model, images, train_codes, config.seed)
        if config.voxel_net:
            voxels = sets["test"].truth["voxels"]
            truth = judges.coarse(voxels[: len(mask)][whole])
            metrics |= evaluation.of_shapes(
                model, _judge(config.voxel_net), images, truth, config.seed
            )
        if config.verifier:
            metrics |= evaluation.of_identities(model, _judge(config.verifier), images, config.seed)
        if config.drawings_judge:
            judge = _judge(config.drawings_judge)
            metrics |= evaluation.of_drawings(model, judge, images, config.seed)
        return {k: float(v) for k, v in metrics.items()} | {"count": len(images)}

    def signatures(
        self, model: SetDistributionNetwork, info: data.Info | None = None
    ) -> dict[str, Signature]:
        """`serving_default`, `encode`, `reconstruct`, `sample`, `score`."""
        return signatures(model, info=info)


def _judge(name: str) -> keras.Model:
    return zoo.load(name)
