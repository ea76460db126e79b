"""The listing of `recognizer systems`."""

from __future__ import annotations

from dataclasses import dataclass

from recognizer.systems import SYSTEMS, NeuralSystem, get_system


@dataclass(frozen=True, slots=True)
class Description:
    """A line of the listing. parameters : of the network with default options; None for hand-crafted features"""

    name: str
    kind: str
    source: str
    parameters: int | None


def describe_systems(classes: int = 3) -> tuple[list[Description], list[str]]:
    """All systems, and reasons why some systems of other packages cannot be used.

    The order is that of the registry; parameters are counted without allocating weights.
    """
    systems, problems = SYSTEMS.load_all()
    return [_describe(name, classes) for name in systems], problems


def _describe(name: str, classes: int) -> Description:
    import torch

    system = get_system(name)
    if not isinstance(system, NeuralSystem):
        return Description(name, "features", system.source, None)
    with torch.device("meta"):
        network = system.network(classes)
    return Description(name, "network", system.source, sum(weights.numel() for weights in network.parameters()))
