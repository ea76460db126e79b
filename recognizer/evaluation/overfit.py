"""Whether a system can learn a few acted clips by heart: one that cannot has a fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from recognizer.records import Sample
from recognizer.systems import FeatureSystem, NeuralSystem, System

CLASSES = 3
# The papers' sizes want minutes a step on a CPU; these are their networks on smaller inputs.
SMALL: dict[str, dict[str, Any]] = {
    "multiview": {"size": 48, "frames": 24, "filters": 8, "units": 32},
    "microexp-stcnn": {"size": 32, "depth": 20},
    "microexp-fusenet-intermediate": {"size": 20, "depth": 18},
    "microexp-fusenet-late": {"size": 20, "depth": 18},
    "strcn-a": {"maps": 16},
    "strcn-g": {"maps": 16, "height": 164, "width": 132},
    "tscnn": {"size": 24},
    "tscnn-dynamic": {"size": 24},
    "htnet": {"dim": 24, "blocks": (1, 1, 1)},
    "causalnet": {"dim": 24, "blocks": (1, 1, 1)},
    "mmnet": {"size": 64, "maps": 32},
    "cnn-frame": {"size": 32, "frames": 6},
    "cnn-lstm": {"size": 32, "frames": 6},
    "cnn-gru": {"size": 32, "frames": 6},
    "flow-3dcnn": {"size": 32, "frames": 9},
}


def learn(system: System[Any], samples: list[Sample], epochs: int, rate: float) -> tuple[float, int]:
    """Accuracy on the clips it learned from, and the epochs that took; at most `epochs`."""
    prepared = [system.prepare(sample) for sample in samples]
    labels = np.array([sample.label for sample in samples])
    if isinstance(system, FeatureSystem):
        features = np.stack([inputs["features"] for inputs in prepared])
        return float(system.classifier(0).fit(features, labels).score(features, labels)), 1
    assert isinstance(system, NeuralSystem)
    torch.manual_seed(0)
    network = system.network(CLASSES)
    batch = {name: torch.from_numpy(np.stack([inputs[name] for inputs in prepared])) for name in prepared[0]}
    system.initialise(network, [batch])
    target = torch.from_numpy(labels)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        network.train()
        loss = torch.nn.functional.cross_entropy(network(batch), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if epoch % 5 == 0 or epoch == epochs:
            network.eval()
            with torch.inference_mode():
                accuracy = float((network(batch).argmax(dim=1) == target).float().mean())
            if accuracy == 1:
                return accuracy, epoch
    return accuracy, epochs
