"""Corpora of 3D faces, one file each, and readers of their files."""
