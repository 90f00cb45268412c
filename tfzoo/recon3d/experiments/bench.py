"""`tfzoo bench recon3d`: points and images per second; meshes from dense and adaptive grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfzoo.config import check
from tfzoo.experiments import bench
from tfzoo.experiments.bench import Target, Times

if TYPE_CHECKING:
    import keras

PARTS = ("mesh", "speed")
MESH, SPEED = ("sparse", "dense"), ("points", "training", "renderer")
POINTS, VIEWS, STEP = 8192, 3, 8
FEWER, FASTER = 5, 4


def _model() -> keras.Model:
    from tfzoo import zoo

    return zoo.load("recon3d/solids")


def _shape(size: int) -> dict[str, Any]:
    """A chair that the model has never seen."""
    from tfzoo.data.shapes.shape_samples import sample_shape
    from tfzoo.data.shapes.solid_kinds import make_solid

    rng = np.random.RandomState(0)
    return sample_shape(make_solid("chair", rng), rng, VIEWS, size)


def build_mesh(name: str, resolution: int = 128) -> Callable[[], None]:
    """A mesh from the package weight; images are encoded once per repetition.

    Args:
        name: one of `MESH`.
        resolution: cells per side.
    """
    from tfzoo.recon3d.meshes import extract_mesh, logit

    model = _model()
    shape = _shape(model.image_size)
    level = logit(model.threshold)

    def run() -> None:
        field = model.field(shape["images"][None], shape["cameras"][None])
        extract_mesh(lambda x: field(x[None])[0], resolution, level, dense=name == "dense")

    return run


def count_evaluations(resolution: int) -> dict[str, Any]:
    """Field evaluations of both grids, and the largest distance between the meshes' vertices."""
    from scipy.spatial import cKDTree

    from tfzoo.recon3d import meshes

    model = _model()
    shape = _shape(model.image_size)
    level = meshes.logit(model.threshold)
    field = model.field(shape["images"][None], shape["cameras"][None])
    ask = lambda x: field(x[None])[0]  # noqa: E731
    dense, all_ = meshes.dense_grid(ask, resolution)
    sparse, some = meshes.sparse_grid(ask, resolution, level, meshes.first_grid(resolution))
    a, b = (meshes.grid_mesh(v, level).vertices for v in (dense, sparse))
    apart = max(cKDTree(a).query(b)[0].max(), cKDTree(b).query(a)[0].max())
    return {"dense": all_, "sparse": some, "apart": float(apart)}


def build_speed(name: str) -> Callable[[], object]:
    """`POINTS` points of an object with 3 views, a training step of 8 objects, or 8 images.

    Args:
        name: one of `SPEED`.
    """
    if name == "renderer":
        from tfzoo.data.shapes import raycast
        from tfzoo.data.shapes.cameras import R2N2_LIKE
        from tfzoo.data.shapes.solid_kinds import make_solid

        rng = np.random.RandomState(0)
        solid, cameras = make_solid("chair", rng), R2N2_LIKE.draw(STEP, 64, rng)
        return lambda: raycast.render(solid, cameras, 64) and None
    model = _model()
    shape = _shape(model.image_size)
    images, cameras = (np.stack([shape[k]] * STEP) for k in ("images", "cameras"))
    points = np.stack([shape["points"]] * STEP)[:, : 512 if name == "training" else None]
    if name == "training":
        x = {"images": images.astype("float32"), "cameras": cameras, "points": points}
        y = np.stack([shape["occupancies"][:512]] * STEP).astype("float32")
        model.compile("adam", "binary_crossentropy")
        return lambda: model.train_on_batch(x, y) and None
    field = model.field(images[:1], cameras[:1])
    many = np.resize(points[:1], (1, POINTS, 3))
    return lambda: field(many) is None


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench recon3d` with the arguments `argv`."""
    parser = bench.parser("recon3d", __doc__, 5, PARTS)
    parser.add_argument("--resolution", type=int, default=128, help="resolution of the meshes")
    words = bench.parse(parser, argv, PARTS)
    size = words.resolution
    check(size >= 8 and size % 4 == 0, "--resolution", size, "a multiple of 4 from 8")
    rows: list[dict[str, Any]] = []
    counts: dict[str, Any] = {}
    if "mesh" in words.parts:
        keywords = {name: {"name": name, "resolution": size} for name in MESH}
        rows += _compare("mesh", keywords, words.rounds)
        counts = count_evaluations(size)
        for row in rows:
            row["evaluations"] = counts[row["alternative"]]
            row["apart"] = counts["apart"]
    if "speed" in words.parts:
        speeds = _compare("speed", {name: {"name": name} for name in SPEED}, words.rounds)
        each = {"points": POINTS, "training": STEP, "renderer": STEP}
        for row in speeds:
            done = each[row["alternative"]]
            row["a_second"] = round(done / row["seconds"], 1) if row["seconds"] else ""
        rows += speeds
    bench.report("recon3d", rows, targets(rows, size), words.output)


def _compare(kind: str, keywords: dict[str, dict], rounds: int) -> list[dict[str, Any]]:
    with bench.workers(list(keywords), time_limit=300) as workers:
        results = bench.compare(
            workers, f"tfzoo.recon3d.experiments.bench:build_{kind}", keywords, rounds
        )
    return bench.table(results, kind=kind)


def targets(rows: Sequence[dict[str, Any]], size: int) -> list[Target]:
    """The targets that can be computed from the rows."""
    times = Times(rows, "kind", "alternative")
    says = f"mesh at {size}^3: times faster than the dense grid"
    reached = times.ratio(says, ("mesh", "dense"), ("mesh", "sparse"), FASTER, True)
    asked = {r["alternative"]: r["evaluations"] for r in rows if r.get("evaluations")}
    if set(MESH) <= set(asked):
        ratio = asked["dense"] / asked["sparse"]
        reached.append(Target(f"mesh at {size}^3: times fewer evaluations", ratio, FEWER, True))
        apart = next(r["apart"] for r in rows if r.get("evaluations"))
        # up to float32 differences between summation orders
        reached.append(Target("vertices apart, in cells", apart * size / 1.1, 0.01, False))
    return reached
