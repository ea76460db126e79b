"""What the extras of the package bring: `pip install "mvgen[build]"`. Without any, mvgen opens and checks a store."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

from mvgen.core.errors import MissingPartError

P = ParamSpec("P")
R = TypeVar("R")

_TRAIN = ("threadpoolctl", "torch", "warp")

# Extra -> the modules without which nothing of it works, by the names that they are imported by.
NEEDED: dict[str, tuple[str, ...]] = {
    "train": _TRAIN,
    "build": (*_TRAIN, "facenet_pytorch", "safetensors", "segmentation_models_pytorch", "torchvision"),
    "recognizer": (*_TRAIN, "safetensors", "sklearn", "snntorch"),
}
# Modules that only some settings or commands need -> the extra that brings them.
SOMETIMES = {
    **dict.fromkeys(("anny", "open3d", "openvino", "OpenGL", "pyrender", "skimage", "trimesh"), "build"),
    **dict.fromkeys(("captum", "matplotlib", "tensorboard"), "recognizer"),
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "onnx"),
    **dict.fromkeys(("huggingface_hub", "s3fs"), "publish"),
    "ray": "ray",
}


def extra_of(module: str, preferred: str = "build") -> str | None:
    """The extra that brings a module: the preferred one if it does, None for a module of no extra."""
    extras = [extra for extra, modules in NEEDED.items() if module in modules]
    return preferred if preferred in extras else next(iter(extras), SOMETIMES.get(module))


def missing_part(error: ModuleNotFoundError, needed_for: str, preferred: str = "build") -> MissingPartError | None:
    """The message to an import that failed because an extra is not installed; None if that is not the cause."""
    module = (error.name or "").partition(".")[0]
    extra = extra_of(module, preferred)
    return None if extra is None else _missing(module, needed_for, extra)


def import_part(module: str, needed_for: str, *, libraries: str = "") -> Any:
    """Import a module of an extra.

    libraries : how to get the system libraries that it loads
    Raises MissingPartError with the line that installs what is missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise missing_part(error, needed_for) or error from None
    except (ImportError, OSError) as error:
        raise MissingPartError(f"{module} ({error})", needed_for, libraries or _line(str(extra_of(module)))) from None


def needs(extra: str, what: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that works with an extra only. Without it MissingPartError is raised before anything is done.

    what : the function is, for the message
    """

    def add(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def checked(*arguments: P.args, **named: P.kwargs) -> R:
            for module in NEEDED[extra]:
                if find_spec(module) is None:
                    raise _missing(module, what, extra)
            return function(*arguments, **named)

        return checked

    return add


def _missing(module: str, needed_for: str, extra: str) -> MissingPartError:
    return MissingPartError(module, needed_for, _line(extra))


def _line(extra: str) -> str:
    return f'pip install "mvgen[{extra}]"'
