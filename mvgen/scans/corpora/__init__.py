"""Corpora of 3D faces, one file each, and what reads them."""
