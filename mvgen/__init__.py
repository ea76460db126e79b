"""mvgen turns a frontal micro-expression dataset into a multi-view one.

Importing the package is cheap on purpose: nothing that pulls in torch, OpenCV or Open3D is loaded before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mvgen.core.angles import RandomAngles as RandomAngles
    from mvgen.dataset.reader import open_dataset as open_dataset

__version__ = "0.2.0"
__all__ = ["RandomAngles", "__version__", "open_dataset"]


def __getattr__(name: str) -> Any:
    if name == "open_dataset":
        from mvgen.dataset.reader import open_dataset

        return open_dataset
    if name == "RandomAngles":
        from mvgen.core.angles import RandomAngles

        return RandomAngles
    raise AttributeError(f"module 'mvgen' has no attribute {name!r}")
