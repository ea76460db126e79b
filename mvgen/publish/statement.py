"""What is said of a dataset that is published with its pixels: the card says it to people, Croissant to machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mvgen.core.records import Redistribution
from mvgen.publish.targets.base import Visibility

Format = Literal["parquet", "webdataset"]

READERS: dict[Visibility, str] = {
    "private": "whom the owner of this place lets read it",
    "gated": "whom its owner lets in, one by one",
    "public": "everybody",
}
_LIMITS = (
    "A view shows the face from hair line to jaw, without hair, ears or background.",
    "The geometry of a face is estimated from its pictures by a network; it is no measurement. Unless the settings say "
    "otherwise, one still geometry carries the whole clip: the expression's own change of depth is not reconstructed.",
    "Surface that the source did not see well is filled from the face's other side or left as it is; the mask `valid` "
    "marks it.",
    "Flow is estimated too; where the source blurs or flickers, it errs.",
)
_BIASES = (
    "The subjects, classes and cameras are those of the source, with all that is uneven about them.",
    "The network that reconstructs faces was trained on rendered heads unless other weights are named: it may fit some "
    "ages, origins and faces better than others.",
    "Views for training are kept or dropped by the attention of a network, which may look elsewhere than people do.",
)


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything the card and `croissant.json` say, in plain values.

    source, counts, software, weights : of `dataset.json`; metrics : see `metrics.describe`
    terms : what the source allows; access : how to get it; citation : BibTeX
    stand_in : the source is acted by parametric heads
    permission : what the publisher attested; creator : who publishes; url : where
    suffix : of the files of views
    """

    source: Mapping[str, Any]
    counts: Mapping[str, Any]
    software: Mapping[str, str | None]
    weights: Mapping[str, str]
    metrics: Mapping[str, Any]
    terms: Redistribution
    access: str
    citation: str | None
    stand_in: bool
    permission: str | None
    creator: str
    url: str
    visibility: Visibility
    format: Format
    suffix: str

    @property
    def title(self) -> str:
        return f"Multi-view {self.source['title']}" + (" (stand-in)" if self.stand_in else "")

    @property
    def readers(self) -> str:
        """Who can read it, in words."""
        return READERS[self.visibility]

    @property
    def limits(self) -> tuple[str, ...]:
        return _LIMITS

    @property
    def biases(self) -> tuple[str, ...]:
        return _BIASES

    @property
    def people(self) -> str:
        """Whose faces these are, in words."""
        if self.stand_in:
            return "The faces are parametric heads; the demonstration adds one photograph in the public domain."
        return (
            "The faces are those of the source's subjects and can be recognised. What they agreed to is what the "
            "source's terms say; nobody else may be shown them. Do not try to find out who they are."
        )
