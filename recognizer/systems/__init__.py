"""Systems: the published recognisers, by the name that `--system` takes.

A system's module is imported when the system is asked for: a list of names costs nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import fields
from importlib import import_module
from typing import Any

from recognizer.errors import RecogniserError
from recognizer.systems.base import FeatureSystem, NeuralSystem, System, Training

__all__ = ["SYSTEMS", "FeatureSystem", "NeuralSystem", "System", "Training", "get_system", "register"]


def register(places: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Places of systems, "module:class", by name. Raises ValueError when two have the same name."""
    registry: dict[str, str] = {}
    for name, place in places:
        if name in registry:
            raise ValueError(f"two systems are named {name!r}: {registry[name]} and {place}")
        registry[name] = place
    return registry


SYSTEMS = register(
    [
        ("multiview", "multiview:Multiview"),
        ("microexp-stcnn", "microexp_stcnn:MicroExpSTCNN"),
        ("microexp-fusenet-intermediate", "microexp_fusenet:IntermediateFuseNet"),
        ("microexp-fusenet-late", "microexp_fusenet:LateFuseNet"),
        ("strcn-a", "strcn_a:StrcnA"),
        ("strcn-g", "strcn_g:StrcnG"),
        ("tscnn", "tscnn:Tscnn"),
        ("cnn-frame", "cnn_frame:CnnFrame"),
        ("cnn-lstm", "cnn_recurrent:CnnLstm"),
        ("cnn-gru", "cnn_recurrent:CnnGru"),
        ("flow-3dcnn", "flow_3dcnn:Flow3dCnn"),
        ("lbp-top", "lbp_top:LbpTop"),
        ("lbp-sip", "lbp_sip:LbpSip"),
        ("mdmo", "mdmo:Mdmo"),
        ("bi-woof", "bi_woof:BiWoof"),
    ]
)


def get_system(name: str, **options: Any) -> System[Any]:
    """The system of a name.

    options : values of its `Choices`, as they are or as text ("size=64", "no_snn=true")
    Raises RecogniserError for an unknown name, an unknown option, or a value that does not fit.
    """
    if name not in SYSTEMS:
        close = difflib.get_close_matches(name.lower(), SYSTEMS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise RecogniserError(f"unknown system {name!r}; {hint}Known: {', '.join(SYSTEMS)}")
    module, _, place = SYSTEMS[name].partition(":")
    system: type[System[Any]] = getattr(import_module(f"recognizer.systems.{module}"), place)
    return system(_choices(system, options))


def _choices(system: type[System[Any]], options: dict[str, Any]) -> Any:
    from pydantic import TypeAdapter, ValidationError

    known = [field.name for field in fields(system.Choices)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise RecogniserError(f"{system.name} has no option {unknown[0]!r}; {has}")
    try:
        return TypeAdapter(system.Choices).validate_python(options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if not first["loc"]:  # of several options together
            raise RecogniserError(f"{system.name}: {first['ctx']['error']}") from None
        where = ".".join(str(part) for part in first["loc"])
        raise RecogniserError(f"option {where!r} of {system.name}: {first['msg']}, got {first['input']!r}") from None
