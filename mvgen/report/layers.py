"""Overlays of a view: small images, transparent where they have no value.

Convention: a layer is (S, S, 4) uint8 RGBA, not premultiplied.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.core.records import Floats, Mask

Layer = NDArray[np.uint8]

_UNSEEN = (232, 119, 34)
_OPAQUE = 225
_DEPTH_COLOURS, _HEAT_COLOURS = "COLORMAP_VIRIDIS", "COLORMAP_INFERNO"


def unseen_layer(valid: Mask, depth: Floats) -> Layer:
    """Surface that the source did not see well. valid, depth : (S, S), depth NaN where there is no surface"""
    layer = np.zeros((*valid.shape, 4), np.uint8)
    layer[np.isfinite(depth) & ~valid] = (*_UNSEEN, 170)
    return layer


def depth_layer(depth: Floats, lowest: float, highest: float) -> Layer:
    """Depth in colours from far (dark) to near (bright). depth : (S, S) world units, NaN where there is no surface"""
    share = (np.nan_to_num(depth, nan=lowest) - lowest) / max(highest - lowest, 1e-9)
    return np.dstack([colours(share, _DEPTH_COLOURS), np.where(np.isfinite(depth), _OPAQUE, 0).astype(np.uint8)])


def motion_layer(flow: Floats, longest: float) -> Layer:
    """Flow: its direction as hue, clockwise from red for motion to the right; its length as opacity.

    flow : (S, S, 2) pixels, (dx, dy); longest : length in pixels that is drawn opaque
    """
    import cv2

    length = np.linalg.norm(flow, axis=-1)
    hue = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360
    hls = np.dstack([hue, np.full_like(hue, 0.5), np.full_like(hue, 0.9)]).astype(np.float32)
    colour = (cv2.cvtColor(hls, cv2.COLOR_HLS2RGB) * 255).round().astype(np.uint8)
    return np.dstack([colour, _opacity(length / max(longest, 1e-9))])


def attention_layer(attention: Floats, highest: float) -> Layer:
    """Attention as a heat map. attention : (S, S), not negative; highest : the value that is drawn opaque"""
    share = np.nan_to_num(attention) / max(highest, 1e-12)
    return np.dstack([colours(0.35 + 0.6 * share, _HEAT_COLOURS), _opacity(share)])


def project_attention(attention: Floats, depth: Floats, view: Camera, source: Camera) -> Floats:
    """Attention on the source's crop projected into a view: (S, S), NaN where the view has no surface.

    attention : (S, S) on the crop; depth : (S, S) of the view; view, source : their cameras
    """
    import cv2

    known = np.isfinite(depth)
    pixels = np.dstack([pixel_grid(*depth.shape), np.where(known, depth, 0)])
    places = source.project(view.unproject(pixels))[..., :2].astype(np.float32) - np.float32(0.5)
    u, v = places[..., 0].copy(), places[..., 1].copy()
    seen = cv2.remap(attention.astype(np.float32), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.where(known, seen, np.nan)


def depth_legend() -> list[str]:
    """Colours of `depth_layer` from far to near, as #rrggbb."""
    return ["#{:02x}{:02x}{:02x}".format(*each) for each in colours(np.linspace(0, 1, 7)[None], _DEPTH_COLOURS)[0]]


def heat_legend() -> list[str]:
    """Colours of `attention_layer` from low to high, as #rrggbb."""
    shares = 0.35 + 0.6 * np.linspace(0, 1, 7)[None]
    return ["#{:02x}{:02x}{:02x}".format(*each) for each in colours(shares, _HEAT_COLOURS)[0]]


def colours(share: Floats, name: str) -> NDArray[np.uint8]:
    """(H, W) in [0, 1] -> (H, W, 3) uint8 RGB; name : of one of OpenCV's colour maps"""
    import cv2

    grey = (np.clip(share, 0, 1) * 255).round().astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, getattr(cv2, name))[..., ::-1], np.uint8)


def _opacity(share: Floats) -> NDArray[np.uint8]:
    return (np.clip(share, 0, 1) * _OPAQUE).round().astype(np.uint8)
