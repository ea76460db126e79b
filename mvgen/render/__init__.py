"""Renderers: what a camera sees of a mesh. One file per renderer, all giving the same `ViewGeometry`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from mvgen.errors import ConfigError
from mvgen.render.base import Renderer, drape, seen_inside

__all__ = ["Renderer", "drape", "get_renderer", "seen_inside"]


def _pyrender() -> Renderer:
    from mvgen.render.pyrender import PyrenderRenderer

    return PyrenderRenderer()


_RENDERERS: dict[str, Callable[[], Renderer]] = {"pyrender": _pyrender}


@cache
def get_renderer(name: str = "pyrender") -> Renderer:
    """The renderer of that name, one per process: making a GL context is slow and some drivers allow one only.

    Raises ConfigError for an unknown name, MissingPartError when what it needs is not installed.
    """
    if name not in _RENDERERS:
        raise ConfigError(f"unknown renderer {name!r}; known: {', '.join(_RENDERERS)}")
    return _RENDERERS[name]()
