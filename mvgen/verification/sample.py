"""A sample of views, read from a store and compared with their clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mvgen.core.config import BuildConfig
from mvgen.core.errors import MvgenError
from mvgen.dataset.scenes import read_scene
from mvgen.motion.jumps import find_jumps, jumps
from mvgen.store.about import stored_config
from mvgen.store.arrays import read_maps
from mvgen.store.coding.steps import depth_of, quantise_depth
from mvgen.store.frames import read_frames
from mvgen.store.geometry import read_signals
from mvgen.store.manifest import ViewRow
from mvgen.verification.findings import Finding, of_clip
from mvgen.verification.geometry import FrontalClip, StoredView, disagreements, flow_disagreements

_TOLERANCE = 1e-6  # between two computations of a share


def check_sample(
    out: Path, about: Mapping[str, Any], rows: Sequence[ViewRow], chosen: Sequence[ViewRow]
) -> Iterator[Finding]:
    """Check that depth, mask, colour and flow of the chosen rows agree with their angle and their clip."""
    config = stored_config(about)
    frontal = {row.clip: row for row in rows if row.yaw is None}
    of_clips: defaultdict[str, list[ViewRow]] = defaultdict(list)
    for row in chosen:
        of_clips[row.clip].append(row)
    for name, some in of_clips.items():
        if name not in frontal:
            continue  # reported already: the clip lacks a view
        try:
            clip = _frontal_clip(out, frontal[name], config)
            unsteady = _unsteady(frontal[name], clip)
        except Exception as error:  # numbers of a stranger: whatever they lead to is found
            yield of_clip(frontal[name].geometry, f"it cannot be used: {_said(error)}", name)
            continue
        yield from (of_clip(frontal[name].frames_directory, problem, name) for problem in unsteady)
        for row in some:
            yield from (of_clip(row.frames_directory, problem, name) for problem in _check_view(out, row, clip))


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, MvgenError) else f"{type(error).__name__}: {error}"


def _frontal_clip(out: Path, row: ViewRow, config: BuildConfig) -> FrontalClip:
    scene = read_scene(out, row)
    read_signals(out, row)
    registered = config.registration.method != "none"
    grazing = config.render.grazing
    return FrontalClip(scene.crops, scene.onset, scene.apex, scene.inside, scene.surface, grazing, registered)


def _unsteady(row: ViewRow, clip: FrontalClip) -> list[str]:
    """Jumps of the face in the stored frames. Unregistered clips are not checked: there the head may move."""
    if not clip.registered:
        return []
    found = jumps(clip.crops, np.isfinite(clip.surface.depth))
    return [
        f"the face jumps between frames {row.frame_names[at]} and {row.frame_names[at + 1]}, by {found[at]:.1f} pixels"
        for at in find_jumps(found, len(clip.surface.depth))
    ]


def _check_view(out: Path, row: ViewRow, clip: FrontalClip) -> list[str]:
    try:
        with np.errstate(all="ignore"):  # what comes of numbers that no face has is found below
            return _view_problems(out, row, clip)
    except Exception as error:
        return [_said(error)]


def _view_problems(out: Path, row: ViewRow, clip: FrontalClip) -> list[str]:
    maps = read_maps(out, row)
    colour = read_frames(out, row)
    if maps.depth.shape != clip.surface.depth.shape or colour.shape != clip.crops.shape:
        return [f"{row.maps} or its frames differ in size from the frontal clip"]
    view = StoredView(row.yaw or 0.0, colour, maps.valid, maps.depth, maps.flow)
    found = _frontal_disagreements(view, clip) if row.yaw is None else disagreements(view, clip)
    hit = np.isfinite(view.depth)
    share = float(view.valid[hit].mean()) if hit.any() else 0.0
    if abs(share - row.valid_fraction) > _TOLERANCE:
        found.append(f"its valid fraction is {share:.3f}, the table says {row.valid_fraction:.3f}")
    return found


def _frontal_disagreements(view: StoredView, clip: FrontalClip) -> list[str]:
    face = np.isfinite(clip.surface.depth)
    found = []
    if not np.array_equal(view.depth, depth_of(quantise_depth(clip.surface.depth)), equal_nan=True):
        found.append("its depth is not that of the clip's geometry")
    if not np.array_equal(view.valid, face & clip.inside):
        found.append("its mask is not the part of the face inside the source's frame")
    return found + flow_disagreements(view, clip)
