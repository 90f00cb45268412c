"""3D reconstruction that generalises to unseen categories (arXiv:2006.15427)."""
