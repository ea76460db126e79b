"""Renderers of a mesh. One file per renderer; all return a `ViewGeometry`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from mvgen.core.errors import ConfigError
from mvgen.core.registry import Registry
from mvgen.render.base import Renderer, seen_inside
from mvgen.render.texture import project_texture

__all__ = ["RENDERERS", "Renderer", "get_renderer", "project_texture", "seen_inside"]

# Each is called with a device.
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

    device : "cpu" or "cuda", for `grid`; the other built-in ones ignore it
    Raises ConfigError for an unknown name, MissingPartError when a package that it needs is not installed.
    """
    renderer: Renderer = RENDERERS.make(name, device)
    return renderer
