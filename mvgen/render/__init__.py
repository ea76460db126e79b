"""Renderers: what a camera sees of a mesh. One file per renderer, all giving the same `ViewGeometry`."""

from __future__ import annotations

from mvgen.render.base import Renderer, drape, get_renderer, seen_inside

__all__ = ["Renderer", "drape", "get_renderer", "seen_inside"]
