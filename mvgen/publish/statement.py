"""The facts about a dataset published with its pixels: the card presents them to people, Croissant to software."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mvgen.core.records import Redistribution
from mvgen.publish.targets.base import Visibility

Format = Literal["parquet", "webdataset"]

READERS: dict[Visibility, str] = {
    "private": "people with access from the owner of this place",
    "gated": "people whom its owner admits one by one",
    "public": "everyone",
}
_LIMITS = (
    "A view shows the face from hairline to jaw, without hair, ears or background.",
    "The geometry of a face is estimated from its images by a network; it is not measured. Unless the settings say "
    "otherwise, one static geometry serves the whole clip, without the change of depth during the expression.",
    "Surface that the source did not see well is filled from the other side of the face or left as it is; the mask "
    "`valid` excludes it.",
    "Flow is estimated too, and is wrong where the source is blurred or flickers.",
)
_BIASES = (
    "The subjects, classes and cameras are those of the source, with all their imbalances.",
    "The network that reconstructs faces was trained on rendered heads unless other weights are named: it may fit some "
    "ages, origins and faces better than others.",
    "Views for training are kept or dropped by the attention map of a network, which may differ from human attention.",
)


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything in the card and in `croissant.json`, in plain values.

    source, counts, software, weights : of `dataset.json`; metrics : see `metrics.describe`
    terms : redistribution terms of the source; access : how to get it; citation : BibTeX
    stand_in : whether the source is a stand-in
    permission : of the source's owner, in the publisher's words; creator : who publishes; url : where
    suffix : of the shards; withdrawn : of each subject who has left, the reason
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
    withdrawn: tuple[str, ...] = ()

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
    def departures(self) -> str:
        """Who has left, in words; empty where nobody has."""
        return departures(self.withdrawn)

    @property
    def people(self) -> str:
        """Whose faces these are, in words."""
        if self.stand_in:
            return "The faces are parametric heads; the demo dataset adds one public-domain photograph."
        return (
            "The faces are those of the source's subjects and can be recognised. Their consent covers only the uses "
            "in the source's terms; do not show them to others, and do not try to identify them."
        )


def departures(reasons: Sequence[str]) -> str:
    """How many subjects have left a dataset and why, in words; empty where nobody has."""
    if not reasons:
        return ""
    counts = Counter(reasons)
    said = "; ".join(reason + (f" ({count})" if count > 1 else "") for reason, count in sorted(counts.items()))
    return (
        f"Subjects who have left this dataset since it was first made: {len(reasons)}. Reasons given: {said}. Nothing "
        "of them is in it. Who holds an earlier copy should replace it with this one."
    )
