"""Keeps the module names of tfzoo 0.1 importable, with a `DeprecationWarning`."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Sequence

MOVED = {
    "tfzoo.aft.bench": "tfzoo.aft.experiments.bench",
    "tfzoo.aft.bits": "tfzoo.aft.metrics",
    "tfzoo.aft.exact": "tfzoo.aft.online_average",
    "tfzoo.aft.study": "tfzoo.aft.experiments.study",
    "tfzoo.aft.weighted": "tfzoo.aft.averages",
    "tfzoo.afv.bench": "tfzoo.afv.experiments.bench",
    "tfzoo.afv.copies": "tfzoo.afv.float32_copy",
    "tfzoo.afv.sets": "tfzoo.afv.distances",
    "tfzoo.afv.study": "tfzoo.afv.experiments.study",
    "tfzoo.ala.bench": "tfzoo.ala.experiments.bench",
    "tfzoo.ala.retrieval_recipe": "tfzoo.ala.recipe",
    "tfzoo.ala.study": "tfzoo.ala.experiments.study",
    "tfzoo.bench": "tfzoo.experiments.bench",
    "tfzoo.bottleneck.bench": "tfzoo.bottleneck.experiments.bench",
    "tfzoo.bottleneck.blocks": "tfzoo.bottleneck.blockwise",
    "tfzoo.bottleneck.study": "tfzoo.bottleneck.experiments.study",
    "tfzoo.bottleneck.whole_set": "tfzoo.bottleneck.full_batch",
    "tfzoo.callbacks": "tfzoo.training.callbacks",
    "tfzoo.checkpoint": "tfzoo.training.checkpoint",
    "tfzoo.cli": "tfzoo_cli.main",
    "tfzoo.collegial.bench": "tfzoo.collegial.experiments.bench",
    "tfzoo.collegial.descent": "tfzoo.collegial.experiments.descent",
    "tfzoo.collegial.search_command": "tfzoo.collegial.experiments.search_command",
    "tfzoo.collegial.study": "tfzoo.collegial.experiments.study",
    "tfzoo.commands": "tfzoo_cli.commands",
    "tfzoo.data.arrays": "tfzoo.data.tables.arrays",
    "tfzoo.data.augment": "tfzoo.data.images.augment",
    "tfzoo.data.cameras": "tfzoo.data.shapes.cameras",
    "tfzoo.data.digits": "tfzoo.data.images.digits",
    "tfzoo.data.enwik8": "tfzoo.data.text.enwik8",
    "tfzoo.data.image_folder": "tfzoo.data.images.image_folder",
    "tfzoo.data.image_sets": "tfzoo.data.images.image_sets",
    "tfzoo.data.image_streams": "tfzoo.data.images.image_streams",
    "tfzoo.data.imbalance": "tfzoo.data.tables.imbalance",
    "tfzoo.data.mesh_files": "tfzoo.data.shapes.mesh_files",
    "tfzoo.data.mesh_solids": "tfzoo.data.shapes.mesh_solids",
    "tfzoo.data.meshes": "tfzoo.data.shapes.meshes",
    "tfzoo.data.motions": "tfzoo.data.videos.motions",
    "tfzoo.data.offline": "tfzoo.data.control.offline",
    "tfzoo.data.offline_files": "tfzoo.data.control.offline_files",
    "tfzoo.data.posed_shapes": "tfzoo.data.shapes.catalogue",
    "tfzoo.data.primitives": "tfzoo.data.shapes.primitives",
    "tfzoo.data.pydoc": "tfzoo.data.text.pydoc",
    "tfzoo.data.randaugment": "tfzoo.data.images.randaugment",
    "tfzoo.data.raycast": "tfzoo.data.shapes.raycast",
    "tfzoo.data.segments": "tfzoo.data.text.segments",
    "tfzoo.data.shape_samples": "tfzoo.data.shapes.shape_samples",
    "tfzoo.data.shapenet": "tfzoo.data.shapes.shapenet",
    "tfzoo.data.shapes_views": "tfzoo.data.shapes.shapes_views",
    "tfzoo.data.solid_kinds": "tfzoo.data.shapes.solid_kinds",
    "tfzoo.data.solids": "tfzoo.data.shapes.solids",
    "tfzoo.data.video_arrays": "tfzoo.data.videos.video_arrays",
    "tfzoo.data.video_files": "tfzoo.data.videos.video_files",
    "tfzoo.data.video_folder": "tfzoo.data.videos.video_folder",
    "tfzoo.data.voxels": "tfzoo.data.shapes.voxels",
    "tfzoo.demo": "tfzoo_cli.demo",
    "tfzoo.distribute": "tfzoo.training.distribute",
    "tfzoo.image_recipe": "tfzoo.recipes.images",
    "tfzoo.import_bench": "tfzoo.experiments.bench_import",
    "tfzoo.metric_recipes": "tfzoo.recipes",
    "tfzoo.metric_recipes.classification": "tfzoo.recipes.classification",
    "tfzoo.metric_recipes.config": "tfzoo.recipes.config",
    "tfzoo.metric_recipes.retrieval": "tfzoo.recipes.retrieval",
    "tfzoo.metricopt.adapted": "tfzoo.metricopt.model",
    "tfzoo.metricopt.bench": "tfzoo.metricopt.experiments.bench",
    "tfzoo.metricopt.places": "tfzoo.metricopt.hooks",
    "tfzoo.metricopt.retrieval_recipe": "tfzoo.metricopt.recipe",
    "tfzoo.metricopt.study": "tfzoo.metricopt.experiments.study",
    "tfzoo.networks": "tfzoo.recipes.networks",
    "tfzoo.recon3d.bench": "tfzoo.recon3d.experiments.bench",
    "tfzoo.recon3d.pictures": "tfzoo.recon3d.experiments.plots",
    "tfzoo.recon3d.report": "tfzoo.recon3d.evaluation",
    "tfzoo.recon3d.study": "tfzoo.recon3d.experiments.study",
    "tfzoo.replicas": "tfzoo.training.replicas",
    "tfzoo.sdn.bench": "tfzoo.sdn.experiments.bench",
    "tfzoo.sdn.report": "tfzoo.sdn.evaluation",
    "tfzoo.sdn.study": "tfzoo.sdn.experiments.study",
    "tfzoo.serving.bench": "tfzoo.experiments.bench_serving",
    "tfzoo.serving.image_signatures": "tfzoo.recipes.image_signatures",
    "tfzoo.skipclip.bench": "tfzoo.skipclip.experiments.bench",
    "tfzoo.skipclip.pictures": "tfzoo.skipclip.experiments.plots",
    "tfzoo.skipclip.study": "tfzoo.skipclip.experiments.study",
    "tfzoo.study": "tfzoo.experiments.study",
    "tfzoo.two_player": "tfzoo.training.two_player",
    "tfzoo.uwac.bench": "tfzoo.uwac.experiments.bench",
    "tfzoo.uwac.figures": "tfzoo.uwac.experiments.plots",
    "tfzoo.uwac.optional": "tfzoo.uwac.extras",
    "tfzoo.uwac.scores": "tfzoo.uwac.evaluation",
    "tfzoo.uwac.study": "tfzoo.uwac.experiments.study",
    "tfzoo.workers": "tfzoo.experiments.workers",
}
"""The new name of each. Five modules became packages: `tfzoo.data.control`,
`images`, `tables`, `text` and `videos`; they have the modules' names."""

REMOVED_IN = "0.4"


class _MovedModules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds the modules of `MOVED`, before other finders, which would load a file twice."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: types.ModuleType) -> None:
        """Replaces `module` by the moved module itself, as the import system allows."""
        name = module.__name__
        _warn(name)
        sys.modules[name] = importlib.import_module(MOVED[name])

    def get_code(self, fullname: str) -> types.CodeType:
        """The code that `python -m` runs: the module under its new name."""
        _warn(fullname)
        text = f"import runpy; runpy.run_module({MOVED[fullname]!r}, run_name='__main__')"
        return compile(text, f"<{fullname}>", "exec")

    def get_source(self, fullname: str) -> None:
        return None


def _warn(name: str) -> None:
    warnings.warn(
        f"{name} is now {MOVED[name]}; the old name goes away in tfzoo {REMOVED_IN}",
        DeprecationWarning,
        stacklevel=3,  # the importing line: Python leaves its own frames out
    )


def answer_to_old_names() -> None:
    """Enables imports under old names, such as `import tfzoo.study`."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, _MovedModules())
