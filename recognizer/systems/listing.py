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


def describe_systems(classes: int = 3) -> tuple[list[Description], list[str]]:
    """Every system, and in words why some that packages add cannot be used.

    They come in the order of the registry; networks are counted without room for their weights.
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
