"""Engines run work items. They know nothing of faces: items and a worker factory go in, outcomes come out."""
