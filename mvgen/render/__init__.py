"""Renderers: what a camera sees of a mesh. One file per renderer, all giving the same `ViewGeometry`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from mvgen.core.errors import ConfigError
from mvgen.render.base import Renderer, seen_inside
from mvgen.render.texture import drape

__all__ = ["RENDERERS", "Renderer", "drape", "get_renderer", "seen_inside"]


def _grid(device: str) -> Renderer:
    from mvgen.render.grid import GridRenderer

    return GridRenderer(device)


def _raycast(device: str) -> Renderer:
    from mvgen.render.raycast import RaycastRenderer

    return RaycastRenderer()


def _pyrender(device: str) -> Renderer:
    from mvgen.render.pyrender import PyrenderRenderer

    return PyrenderRenderer()


_RENDERERS: dict[str, Callable[[str], Renderer]] = {"grid": _grid, "raycast": _raycast, "pyrender": _pyrender}
RENDERERS = tuple(_RENDERERS)


@cache
def get_renderer(name: str = "grid", device: str = "cpu") -> Renderer:
    """The renderer of that name, one per process: making a GL context is slow and some drivers allow one only.

    device : "cpu" or "cuda", for `grid`; the others run where they do
    Raises ConfigError for an unknown name, MissingPartError when what it needs is not installed.
    """
    if name not in _RENDERERS:
        raise ConfigError(f"unknown renderer {name!r}; known: {', '.join(_RENDERERS)}")
    return _RENDERERS[name](device)
