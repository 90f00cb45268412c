"""Solids: views, cameras, occupancy, meshes."""
