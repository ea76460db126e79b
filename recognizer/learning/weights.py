"""A trained system in one self-describing safetensors file, which cannot run code.

For a network the file contains the weights. For a classifier on hand-crafted features it contains the training data;
the classifier is fitted again on loading, which takes milliseconds and avoids pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mvgen import __version__
from mvgen.core.errors import WeightsError
from mvgen.core.files import disk_errors, write_atomically
from recognizer.learning.fit import Device, Rows, classifier_scores, scores, train_classifier
from recognizer.systems import FeatureSystem, NeuralSystem, System, get_system

_FORMAT = "recognizer-1"

SHIPPED = Path(__file__).parents[1] / "weights" / "motion_views.safetensors"
"""Weights of motion-views, trained on synthetic stand-ins, not on people."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained system.

    classes : names, in the order of the labels; size : side of the training images, pixels
    face_only : whether everything but the face was black in them
    model : a network, or the classifier with the Rows it was fitted on
    about : description of its training, for display
    """

    system: System[Any]
    classes: tuple[str, ...]
    size: int
    face_only: bool
    model: Any
    seed: int
    about: Mapping[str, Any]

    @property
    def temperature(self) -> float:
        """That probabilities are calibrated with, see `learning.calibration`; 1 where they are not."""
        return float((self.about.get("calibration") or {}).get("temperature", 1.0))

    def scores(self, inputs: Mapping[str, NDArray[np.floating]], device: Device) -> NDArray[np.float64]:
        """(N, C) class scores of prepared inputs, (N, ...) each."""
        rows = np.arange(len(next(iter(inputs.values()))))
        if isinstance(self.system, NeuralSystem):
            return scores(self.model, Rows(inputs, rows, rows), device)
        return classifier_scores(self.model[0], inputs["features"], len(self.classes))


def save_trained(trained: Trained, path: Path) -> None:
    """Write a trained system, the same bytes for the same content."""
    from safetensors.torch import save

    if isinstance(trained.system, NeuralSystem):
        state = trained.model.state_dict()
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    else:
        data: Rows = trained.model[1]
        features = np.ascontiguousarray(data.inputs["features"][data.rows], np.float32)
        tensors = {"features": torch.from_numpy(features), "labels": torch.from_numpy(data.labels.copy())}
    about = {
        "format": _FORMAT,
        "system": trained.system.name,
        "options": asdict(trained.system.options),
        "classes": list(trained.classes),
        "size": trained.size,
        "face_only": trained.face_only,
        "seed": trained.seed,
        "mvgen": __version__,
        "about": dict(trained.about),
    }
    with disk_errors(path.parent):
        # A single entry, because the format writes several in no fixed order.
        write_atomically(path, save(tensors, {"recognizer": json.dumps(about, sort_keys=True)}))


def load_trained(path: Path, device: Device) -> Trained:
    """Read a trained system. Raises WeightsError for an invalid file, or one that does not fit its system."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsError(f"weights {path} do not exist; make them with `recognizer train`")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("recognizer", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"weights {path} cannot be read: {error}; train them again") from None
    if about.get("format") != _FORMAT:
        raise WeightsError(f"{path} holds no weights of this recognizer; make them with `recognizer train`")
    system = get_system(about["system"], **about["options"])
    classes = tuple(about["classes"])
    model: Any
    if isinstance(system, NeuralSystem):
        network = system.network(len(classes))
        try:
            network.load_state_dict(tensors)
        except RuntimeError:
            raise WeightsError(f"weights {path} do not fit {system.name} as it is now; train them again") from None
        model = device.place(network).eval()
    else:
        assert isinstance(system, FeatureSystem)
        labels = tensors["labels"].numpy()
        data = Rows({"features": tensors["features"].numpy()}, np.arange(len(labels)), labels)
        model = (train_classifier(system, data, about["seed"]), data)
    return Trained(system, classes, about["size"], about["face_only"], model, about["seed"], about["about"])


def describe(trained: Trained) -> str:
    """One line about a trained system, for display."""
    options, default = asdict(trained.system.options), asdict(type(trained.system).Choices())
    changed = ", ".join(f"{name} {value}" for name, value in options.items() if value != default[name])
    return f"{trained.system.name}{f' ({changed})' if changed else ''}; classes {', '.join(trained.classes)}"


def provenance(trained: Trained) -> str:
    """What a reader of predictions has to know: what the system was trained on, and how far its probabilities hold."""
    words = ["Trained on synthetic stand-ins, not on people."] if trained.about.get("stand_ins") else []
    found = trained.about.get("calibration")
    if found:
        words.append(
            f"Probabilities are calibrated on {found['subjects']} held-out training subjects: expected calibration "
            f"error {found['error']:.3f} ({found['error_before']:.3f} before), accuracy {found['accuracy']:.2f}."
        )
    else:
        words.append("Probabilities are not calibrated; see `recognizer train --calibrate`.")
    return " ".join(words)
