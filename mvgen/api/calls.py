"""The commands as functions: settings are the flags of the command line, with underscores."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mvgen.core.config import BuildConfig
from mvgen.core.errors import ConfigError
from mvgen.core.extras import needs
from mvgen.core.records import Image
from mvgen.core.settings import SETTINGS, by_part, load_config

if TYPE_CHECKING:
    from mvgen.building.build import Summary
    from mvgen.pipeline.reconstruct import PhotographedFace
    from mvgen.pipeline.recordings import Spotting
    from mvgen.verification import Verification


@needs("build", "`mvgen.build`")
def build(
    config: BuildConfig | str | Path | None = None, *, retry_failed: bool = False, quiet: bool = False, **settings: Any
) -> Summary:
    """Build a dataset, or resume a build, as `mvgen build` does.

        mvgen.build(dataset="casme2", root="CASME2", angles="-45:45:10", out="multi-view", workers=4)

    config : settings, or a YAML file of them; settings : as the flags, which take precedence over a file
    retry_failed : build clips again that failed before; quiet : show no progress
    Returns how many clips, views and failures there are; `mvgen.open_dataset(summary.out)` opens the result.
    Raises ConfigError for settings that cannot be used, SourceError or StoreError for a source or a folder.
    """
    from mvgen.building.build import build as run_build
    from mvgen.building.work import Progress
    from mvgen.commands.console import BuildProgress

    chosen = _config(config, settings)
    if quiet:
        return run_build(chosen, progress=Progress(), retry_failed=retry_failed)
    with BuildProgress() as progress:
        return run_build(chosen, progress=progress, retry_failed=retry_failed)


@needs("build", "`mvgen.reconstruct`")
def reconstruct(
    image: Image | str | Path, *, config: BuildConfig | str | Path | None = None, **settings: Any
) -> PhotographedFace:
    """Reconstruct the largest face of one photograph.

        face = mvgen.reconstruct("photo.jpg", angles="-30:30:15")
        face.depth, face.mesh, face.views[0].colour[0]
        face.save(Path("faces/photo"))

    image : a file, or (H, W, 3) uint8 RGB; settings : angles, size, weights, device, as the flags
    The networks are loaded once for all photographs of the same settings.
    Raises ClipError for a file that cannot be read or shows no face, ConfigError for settings.
    """
    from mvgen.pipeline.reconstruct import read_photograph, reconstruct_face

    chosen = _config(config, settings)
    pixels = read_photograph(Path(image)) if isinstance(image, str | Path) else np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ConfigError(f"an image is (H, W, 3) uint8 RGB, not {pixels.shape} {pixels.dtype}")
    return reconstruct_face(pixels, chosen, _tools(chosen))


@needs("build", "`mvgen.spot`")
def spot(
    place: str | Path,
    *,
    threshold: float | None = None,
    fps: float | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> Spotting:
    """Find the expressions in a video, or in the recordings of a folder, as `mvgen spot` does.

        found = mvgen.spot("recordings")
        [(one.file, one.onset, one.apex, one.offset, one.kind) for one in found.expressions]
        found.save("clips.csv")
        mvgen.build(dataset="folder", root="recordings", clips="clips.csv", out="multi-view")

    threshold : least score, in units of the recording's noise; 2.3 by default
    fps : frames per second, where a recording does not state them; quiet : show no progress
    Frames are numbered as in `Spotted`. A recording that cannot be searched is in `failures`, and the others go on.
    Raises SourceError where there is no recording, ConfigError for settings.
    """
    from functools import partial

    from mvgen.core.console import FrameProgress
    from mvgen.pipeline.recordings import spot_recordings
    from mvgen.pipeline.spot import FaceMotion

    measure = partial(FaceMotion.load, _config(None, {"device": device}).run.device)
    progress = None if quiet else FrameProgress
    return spot_recordings(Path(place), measure, fps=fps, threshold=threshold, progress=progress)


def verify(out: str | Path, *, sample: int = 100, seed: int = 0) -> Verification:
    """Check a finished dataset as `mvgen verify` does; nothing is changed.

    sample : number of views whose geometry is checked; seed : of their random choice
    Returns the findings, none of which is the sign of an intact dataset. Raises StoreError where there is none.
    """
    from mvgen.verification import verify as run_verify

    return run_verify(Path(out), sample, seed)


_loaded: dict[str, Any] = {}


def _tools(config: BuildConfig) -> Any:
    from mvgen.pipeline.tools import Tools

    key = f"{config.face} {config.geometry} {config.run.device} {config.render.renderer}"
    if key not in _loaded:
        _loaded.clear()  # one set of networks is enough to hold
        _loaded[key] = Tools.load(config)
    return _loaded[key]


def _config(config: BuildConfig | str | Path | None, settings: dict[str, Any]) -> BuildConfig:
    for name in settings:
        if name not in SETTINGS:
            close = difflib.get_close_matches(name, SETTINGS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(SETTINGS)}"
            raise ConfigError(f"unknown setting {name!r}{hint}")
    if isinstance(config, BuildConfig):
        parts = {part: getattr(config, part).model_dump() for part in BuildConfig.model_fields}
        for part, values in by_part(settings).items():
            parts[part] |= values
        return load_config(None, parts)
    return load_config(None if config is None else Path(config), by_part(settings))
