"""What `recognizer systems` shows."""

from __future__ import annotations

from dataclasses import dataclass

from recognizer.systems import SYSTEMS, NeuralSystem, get_system


@dataclass(frozen=True, slots=True)
class Description:
    """A system in a line. `parameters` of its network with its default options; None for hand-crafted features."""

    name: str
    kind: str
    source: str
    parameters: int | None


def describe_systems(classes: int = 3) -> list[Description]:
    """Every system, in the order of the registry; networks are counted without room for their weights."""
    return [_describe(name, classes) for name in SYSTEMS]


def _describe(name: str, classes: int) -> Description:
    import torch

    system = get_system(name)
    if not isinstance(system, NeuralSystem):
        return Description(name, "features", system.source, None)
    with torch.device("meta"):
        network = system.network(classes)
    return Description(name, "network", system.source, sum(weights.numel() for weights in network.parameters()))
