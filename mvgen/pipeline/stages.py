"""The real `build.Stages`: sources, networks and the pipeline; heavy libraries are imported in its methods."""

from __future__ import annotations

import platform
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvgen import __version__
from mvgen.core.config import BuildConfig, file_digest
from mvgen.core.device import one_thread, resolved_device
from mvgen.core.errors import ConfigError, SourceError
from mvgen.core.files import shipped_weights
from mvgen.core.records import BuiltClip, Clip, Frames
from mvgen.core.registry import Registry
from mvgen.core.stopwatch import Stopwatch
from mvgen.pipeline.code_digest import stage_digests

if TYPE_CHECKING:
    from mvgen.pipeline.clip import Observation
    from mvgen.pipeline.tools import Tools
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
    """`build.Stages` by `mvgen.sources` and `mvgen.pipeline.clip`."""

    def read(self, config: BuildConfig) -> Listing:
        from mvgen.sources import get_source
        from mvgen.sources.parts import thinned

        for registry, name in _chosen(config):
            registry.check(name)
        chosen = config.source
        parts = (chosen.clips, chosen.first, chosen.last, chosen.every)
        if parts != (None, None, None, 1) and chosen.dataset != "folder":
            raise ConfigError(f"--clips, --from, --to and --every are for --dataset folder, not for {chosen.dataset}")
        if chosen.clips is not None and not chosen.clips.is_file():
            raise ConfigError(f"--clips {chosen.clips} does not exist; `mvgen spot` writes it")
        source, table = get_source(chosen.dataset, chosen), chosen.clips or chosen.annotations
        listing = source.read(chosen.root, annotations=table, variant=chosen.variant)
        if config.geometry.method == "source":
            _check_depth(listing)
        return thinned(listing, chosen.first, chosen.last, chosen.every)

    def software(self, config: BuildConfig) -> dict[str, str | None]:
        return {
            "mvgen": __version__,
            **stage_digests(),
            "python": ".".join(platform.python_version_tuple()[:2]),
            "zlib": zlib.ZLIB_RUNTIME_VERSION,
            "device": resolved_device(config.run.device),
            **{name: package_version(name) for name in PACKAGES},
            **({"onnxruntime": package_version("onnxruntime")} if config.geometry.depth_onnx else {}),
            **{package: at for registry, name in _chosen(config) for package, at in registry.package(name).items()},
        }

    def weights(self, config: BuildConfig) -> dict[str, str]:
        if config.geometry.depth_onnx is not None:
            from mvgen.depth.onnx_model import load_onnx

            load_onnx(config.geometry, config.run.device)  # refuses one that cannot be used
        return _weights(config)

    def observer(self, config: BuildConfig) -> Callable[[Clip], Observation | None]:
        from mvgen.pipeline.clip import observe
        from mvgen.sources.frames import read_frames

        one_thread()
        tools = _tools(config, tuple(_weights(config).values()))
        return lambda clip: observe(clip, read_frames, config, tools)

    def fit_attention(self, observed: Sequence[Observation], config: BuildConfig) -> bytes:
        from safetensors.numpy import save
        from threadpoolctl import threadpool_limits

        from mvgen.pipeline.clip import fit_attention_on

        threadpool_limits(1)  # enough here, where torch is not used
        return save(dict(fit_attention_on(observed)))

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        from mvgen.pipeline.clip import build_clip
        from mvgen.pipeline.tools import read_attention
        from mvgen.sources.frames import open_frames

        one_thread()
        tools = replace(_tools(config, tuple(_weights(config).values())), attention=read_attention(attention))

        def build_one(clip: Clip, clock: Stopwatch) -> BuiltClip:
            def read() -> Frames:
                with clock("reading"):
                    return open_frames(clip)

            # No reference to the frames is kept: `build_clip` frees them once they are cropped.
            return build_clip(clip, read(), config, tools, clock)

        return build_one


def _weights(config: BuildConfig) -> dict[str, str]:
    """Digests of the files of weights."""
    own = config.geometry.depth_onnx
    onnx = {} if own is None else {"depth-onnx": file_digest(own)}
    if config.geometry.weights is None:  # their content is known to be valid, and checking it would load torch
        return {"depth": file_digest(shipped_weights()), **onnx}
    from mvgen.depth.estimator import weights_digest

    return {"depth": weights_digest(config.geometry.weights), **onnx}


def _check_depth(listing: Listing) -> None:
    """Raise SourceError for a source without a depth sensor's frames."""
    if not any(frame.depth for clip in listing.clips for frame in clip.frames):
        raise SourceError(
            f"{listing.title} has no depth beside its frames here, which --geometry source and --against source-depth "
            "need; leave them out, or give a root with depth"
        )


def _chosen(config: BuildConfig) -> tuple[tuple[Registry[Any], str], ...]:
    """The choices that other packages may add to; checked before anything is read or written."""
    from mvgen.motion.flow.methods import FLOW_METHODS
    from mvgen.render import RENDERERS
    from mvgen.sources import SOURCES

    return ((SOURCES, config.source.dataset), (RENDERERS, config.render.renderer), (FLOW_METHODS, config.flow.method))


@lru_cache(maxsize=1)
def _tools(config: BuildConfig, weights: tuple[str, ...]) -> Tools:
    """The tools of this process, without an attention head. weights : digests of their files, which may change"""
    from mvgen.pipeline.tools import Tools

    return Tools.load(config)


def package_version(name: str) -> str | None:
    """Installed version of a package, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
