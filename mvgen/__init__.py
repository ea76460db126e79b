"""mvgen turns a frontal micro-expression dataset into a multi-view one.

Importing the package is cheap on purpose: nothing that pulls in torch, OpenCV or Open3D is loaded before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mvgen.api.calls import build, reconstruct, spot, verify
    from mvgen.core.angles import RandomAngles
    from mvgen.core.config import BuildConfig
    from mvgen.core.errors import MvgenError
    from mvgen.core.records import Clip
    from mvgen.dataset.batches import collate
    from mvgen.dataset.reader import open_dataset
    from mvgen.dataset.table import open_table

__version__ = "0.2.0"
__all__ = [
    "BuildConfig",
    "Clip",
    "MvgenError",
    "RandomAngles",
    "__version__",
    "build",
    "collate",
    "open_dataset",
    "open_table",
    "reconstruct",
    "spot",
    "verify",
]

_HOMES = {
    "BuildConfig": "core.config",
    "Clip": "core.records",
    "MvgenError": "core.errors",
    "RandomAngles": "core.angles",
    "build": "api.calls",
    "collate": "dataset.batches",
    "open_dataset": "dataset.reader",
    "open_table": "dataset.table",
    "reconstruct": "api.calls",
    "spot": "api.calls",
    "verify": "api.calls",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mvgen' has no attribute {name!r}")
    try:
        return getattr(import_module(f"mvgen.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        from mvgen.core.extras import missing_part

        raise missing_part(error, f"`mvgen.{name}`", "train") or error from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
