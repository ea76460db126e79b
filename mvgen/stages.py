"""The real stages, as a build sees them: sources, networks and the pipeline. The heavy libraries load in here."""

from __future__ import annotations

import platform
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from mvgen import __version__
from mvgen.config import BuildConfig
from mvgen.device import one_thread, resolved_device
from mvgen.records import BuiltClip, Clip

if TYPE_CHECKING:
    from mvgen.pipeline import Observation
    from mvgen.sources.base import Listing

# Packages whose version may change the bytes of a store.
PACKAGES = (
    "anny",
    "av",
    "facenet-pytorch",
    "isal",
    "numpy",
    "open3d",
    "opencv-python",
    "openvino",
    "pillow",
    "pyarrow",
    "PyOpenGL",
    "pyrender",
    "safetensors",
    "scikit-image",
    "scipy",
    "segmentation-models-pytorch",
    "torch",
    "torchvision",
    "trimesh",
    "warp-lang",
)


@dataclass(frozen=True, slots=True)
class PipelineStages:
    """`build.Stages` by `mvgen.sources` and `mvgen.pipeline`."""

    def read(self, config: BuildConfig) -> Listing:
        from mvgen.sources import get_source

        source = get_source(config.dataset)
        return source.read(config.root, annotations=config.annotations, variant=config.variant)

    def software(self, config: BuildConfig) -> dict[str, str | None]:
        return {
            "mvgen": __version__,
            "python": ".".join(platform.python_version_tuple()[:2]),
            "zlib": zlib.ZLIB_RUNTIME_VERSION,
            "device": resolved_device(config.device),
            **{name: package_version(name) for name in PACKAGES},
        }

    def weights(self, config: BuildConfig) -> dict[str, str]:
        from mvgen.depth.predict import weights_digest

        return {"depth": weights_digest(config.weights)}

    def observer(self, config: BuildConfig) -> Callable[[Clip], Observation | None]:
        from mvgen.pipeline import Tools, observe
        from mvgen.sources.frames import read_frames

        one_thread()
        tools = Tools.load(config)
        return lambda clip: observe(clip, read_frames, config, tools)

    def fit_attention(self, observed: Sequence[Observation], config: BuildConfig) -> bytes:
        from safetensors.numpy import save

        from mvgen.pipeline import fit_attention_on

        one_thread()
        return save(dict(fit_attention_on(observed)))

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip], BuiltClip]:
        from mvgen.pipeline import Tools, build_clip
        from mvgen.sources.frames import read_frames

        one_thread()
        tools = Tools.load(config, attention)

        def build_one(clip: Clip) -> BuiltClip:
            return build_clip(clip, read_frames(clip), config, tools)

        return build_one


def package_version(name: str) -> str | None:
    """Installed version of a package, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
