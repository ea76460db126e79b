"""Renderers: what a camera sees of a mesh. One file per renderer, all giving the same `ViewGeometry`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from mvgen.core.errors import ConfigError
from mvgen.core.registry import Registry
from mvgen.render.base import Renderer, seen_inside
from mvgen.render.texture import drape

__all__ = ["RENDERERS", "Renderer", "drape", "get_renderer", "seen_inside"]

# Each is made from a device.
RENDERERS = Registry[Callable[[str], Renderer]](
    "renderer",
    ConfigError,
    [
        ("grid", "mvgen.render.grid:GridRenderer"),
        ("raycast", "mvgen.render.raycast:RaycastRenderer"),
        ("pyrender", "mvgen.render.pyrender:PyrenderRenderer"),
    ],
    group="mvgen.renderers",
)


@cache
def get_renderer(name: str = "grid", device: str = "cpu") -> Renderer:
    """The renderer of that name, one per process: making a GL context is slow and some drivers allow one only.

    device : "cpu" or "cuda", for `grid`; the other built-in ones run where they do
    Raises ConfigError for an unknown name, MissingPartError when what it needs is not installed.
    """
    renderer: Renderer = RENDERERS.make(name, device)
    return renderer
