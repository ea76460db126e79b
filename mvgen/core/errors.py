"""Errors a user can cause. Each message says what was wrong, where, and what to do next."""

from __future__ import annotations

from pathlib import Path


class MvgenError(Exception):
    """A mistake in the input or the set-up; the command line prints it without a traceback and exits with 2."""

    exit_code = 2


class ConfigError(MvgenError):
    """A setting is unknown, of the wrong type, or out of range."""


class AnglesError(ConfigError):
    """An angle list cannot be read or leaves the range that the geometry supports."""


class SourceError(MvgenError):
    """The folder of a dataset is missing, is of another dataset, or has a workbook that cannot be read."""


class ScanError(MvgenError):
    """A folder of 3D scans is missing or another corpus, or one of its scans cannot be used."""


class StoreError(MvgenError):
    """An output folder holds something else: another build, another schema, or files mvgen did not write."""


class PublishError(MvgenError):
    """A dataset cannot be published as asked."""


class LicenceError(PublishError):
    """The terms of a source do not allow what was asked to be published."""


class RecipeError(MvgenError):
    """A recipe is damaged, or the source or the weights at hand are not those it names."""


class WeightsError(MvgenError):
    """A weight file is missing or does not fit the network."""


class MissingPartError(MvgenError):
    """An optional package or a system library is not installed."""

    def __init__(self, what: str, needed_for: str, install: str) -> None:
        super().__init__(f"{what} is not available; it is needed for {needed_for}. Install it with: {install}")


class ClipError(MvgenError):
    """One clip cannot be built. The build records it in `failures.jsonl` and goes on.

    stage : the one that failed, for example "source", "face" or "register"
    reason : what was wrong, in words
    path : the file concerned, if any
    """

    def __init__(self, stage: str, reason: str, path: Path | None = None) -> None:
        super().__init__(stage, reason, path)  # an exception is pickled by its arguments
        self.stage, self.reason, self.path = stage, reason, path

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}" + (f" ({self.path})" if self.path else "")
