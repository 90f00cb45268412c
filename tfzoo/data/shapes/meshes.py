"""`tfzoo_meshes`: a user's meshes, rendered and sampled once, on preparation."""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data import folders
from tfzoo.data.config import DataConfig
from tfzoo.data.faults import Faults
from tfzoo.data.shapes import mesh_files
from tfzoo.data.shapes.cameras import VARIED
from tfzoo.data.shapes.mesh_solids import mesh_solid
from tfzoo.data.shapes.shape_samples import SIZE, VIEWS, sample_shape
from tfzoo.data.shapes.solids import shape_features
from tfzoo.data.user_config import UserConfig
from tfzoo.errors import InputError
from tfzoo.zoo import digest


@dataclasses.dataclass
class MeshesConfig(UserConfig):
    """The user's file or folder, and its categories."""

    classes: tuple[str, ...] = ()


def source(config: DataConfig) -> MeshesConfig:
    """Lists the meshes; the builder config is named after their content, or their names and sizes.

    Raises:
        InputError: no path, or an unknown layout.
    """
    if config.path is None:
        raise InputError("data.path: must be set, to a folder or an .npz, for tfzoo_meshes")
    classes = tuple(mesh_files.categories(config.path))
    if Path(config.path).is_file():
        state = digest(config.path)[:12]
    else:
        state = folders.state(mesh_files.files(config.path))
    unread = mesh_files.unread_arrays(config.path)
    return MeshesConfig(name=f"meshes-{state}", path=config.path, classes=classes, unread=unread)


class TfzooMeshes(tfds.core.GeneratorBasedBuilder):
    """Meshes from a folder category/file or one `.npz`, with the features of `tfzoo_solids`.

    Each is scaled into the unit cube, keeping its axes (y counts as up), and made solid on a grid
    of 96 cells (`mesh_solid`); `watertight` says whether the file's surface is. Occupancies and
    surfaces of closed meshes are exact; an open one is a shell with walls. `ratio` is the volume of
    such a shell over what the triangles enclose, infinite if that is nothing; 1 for closed meshes.
    Cameras are as varied as `tfzoo.data.shapes.cameras.VARIED`. One split, `shapes`: see
    `posed_shapes`. Meshes that cannot be read or made solid are refused or, with `on_error` `skip`,
    left out: the metadata's `skipped` has the reasons by name. `number` counts all meshes,
    including those left out.
    """

    name = "tfzoo_meshes"
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {
        "1.0.0": "Every mesh solid with walls; cameras as 3D-R2N2's.",
        "2.0.0": "Closed meshes exact, their ratio of volumes, varied cameras.",
    }
    BUILDER_CONFIGS = [MeshesConfig(name="none")]

    def _info(self) -> tfds.core.DatasetInfo:
        names = list(self.builder_config.classes) or ["none"]
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=shape_features(
                VIEWS, SIZE, names, watertight=np.bool_, ratio=np.float32, number=np.int64
            ),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        if not self.builder_config.path:
            raise InputError("tfzoo_meshes: needs meshes, given by tfzoo.data.DataConfig.path")
        faults = Faults(self.builder_config.on_error, self.info.metadata.setdefault("skipped", {}))
        return {"shapes": self._generate_examples(faults)}

    def _generate_examples(self, faults: Faults) -> Iterator[tuple[int, dict]]:
        for i, (name, read) in enumerate(mesh_files.list_meshes(self.builder_config.path)):
            with faults.of(name):
                mesh = read()
                rng = np.random.RandomState(zlib.crc32(mesh.name.encode()))
                solid = mesh_solid(mesh.vertices, mesh.faces)
                sample = sample_shape(solid, rng, ranges=VARIED)
                more = {"watertight": mesh_files.is_watertight(mesh), "ratio": solid.ratio}
                yield i, sample | more | {"label": mesh.category, "number": i}


def surface(path: str, number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Surface points of the solid of the mesh with that index, and normals, [count, 3]."""
    _, read = next(itertools.islice(mesh_files.list_meshes(path), number, None))
    mesh = read()
    rng = np.random.RandomState(zlib.crc32(mesh.name.encode()))
    return mesh_solid(mesh.vertices, mesh.faces).surface(count, rng)
