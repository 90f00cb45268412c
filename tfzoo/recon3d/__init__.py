"""3D reconstruction that generalises to unseen categories (arXiv:2006.15427)."""

from tfzoo import registry
from tfzoo.data.shapes.cameras import from_opengl, from_r2n2, orbit, pack_cameras
from tfzoo.data.shapes.captures import Capture, read_capture
from tfzoo.recon3d import recipe as _recipe  # noqa: F401  registers the task
from tfzoo.recon3d.decoder import ConditionalBatchNorm, ConditionalResidualBlock, OccupancyDecoder
from tfzoo.recon3d.encoders import GlobalEncoder, LocalEncoder, UNetEncoder
from tfzoo.recon3d.hull import visual_hull
from tfzoo.recon3d.layers import PointRepresentation, ViewAggregation
from tfzoo.recon3d.meshes import extract_mesh, save_mesh
from tfzoo.recon3d.metrics import OccupancyIoU, mesh_metrics, surface_metrics, volumetric_iou
from tfzoo.recon3d.model import OccupancyReconstructor
from tfzoo.recon3d.scene import Frame, frame_scene, reconstruct_capture
from tfzoo.recon3d.signatures import signatures

registry.experiment("study", "recon3d", "tfzoo.recon3d.experiments.study:main")
registry.experiment("bench", "recon3d", "tfzoo.recon3d.experiments.bench:main")

__all__ = [
    "Capture",
    "ConditionalBatchNorm",
    "ConditionalResidualBlock",
    "Frame",
    "GlobalEncoder",
    "LocalEncoder",
    "OccupancyDecoder",
    "OccupancyIoU",
    "OccupancyReconstructor",
    "PointRepresentation",
    "UNetEncoder",
    "ViewAggregation",
    "extract_mesh",
    "frame_scene",
    "from_opengl",
    "from_r2n2",
    "mesh_metrics",
    "orbit",
    "pack_cameras",
    "read_capture",
    "reconstruct_capture",
    "save_mesh",
    "signatures",
    "surface_metrics",
    "visual_hull",
    "volumetric_iou",
]
