"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from recognizer.learning.fit import Device
    from recognizer.readers.config import DataConfig

DataOption = Annotated[
    Path, typer.Option(help="dataset that `mvgen build` wrote, folder of flow images, or root of --source")
]
TrainingDataOption = Annotated[
    Path | None, typer.Option(help="dataset that `mvgen build` wrote, folder of flow images, or root of --source")
]
SourceOption = Annotated[
    str | None, typer.Option(help="read DATA as this release, through mvgen's own stages; see `mvgen datasets`")
]
AnglesOption = Annotated[
    str | None, typer.Option(help="render the dataset from these angles instead of the built ones: -30:30:5")
]
TruthOption = Annotated[
    Path | None, typer.Option(help="true side views of the stand-in, which `mvgen synth --truth` wrote")
]
FlowImagesOption = Annotated[
    Path | None, typer.Option(help="folder of precomputed onset-to-apex flow images, instead of a dataset")
]
DeviceOption = Annotated[str, typer.Option(help="where networks run", metavar="auto|cpu|cuda")]
PrecisionOption = Annotated[
    str, typer.Option(help="auto is bfloat16 on GPUs that support it", metavar="auto|float32|bfloat16")
]
WeightsOption = Annotated[Path, typer.Option(help="weights that `recognizer train` wrote")]


def data_of(data: Path, source: str | None, angles: str | None, truth: Path | None, size: int = 256) -> DataConfig:
    """The data that the shared options name."""
    from recognizer.readers.config import DataConfig, data_at

    if source is not None:
        return DataConfig(source=source, root=data, size=size)
    settings: dict[str, Any] = {"angles": angles, "truth": truth}
    return data_at(data, **{name: value for name, value in settings.items() if value is not None})


def asked_data(
    data: Path | None, flow_images: Path | None, source: str | None, angles: str | None, truth: Path | None
) -> DataConfig:
    """The data of --data or --flow-images. Raises a usage error for neither, both, or what does not go together."""
    from recognizer.readers.config import DataConfig

    if (data is None) == (flow_images is None):
        raise typer.BadParameter("give the data once: --data, or --flow-images")
    if data is not None:
        return data_of(data, source, angles, truth)
    if any(value is not None for value in (source, angles, truth)):
        raise typer.BadParameter("flow images have no --source, --angles or --truth")
    return DataConfig(flow_images=flow_images)


def device_of(device: str, precision: str = "auto", compile_network: bool = False) -> Device:
    """The device that the shared options name. Raises ConfigError when it is not available."""
    from typing import get_args

    from mvgen.core.device import resolved_device
    from mvgen.core.errors import ConfigError
    from recognizer.learning.fit import Device, Precision

    if precision not in get_args(Precision):
        raise ConfigError(f"precision {precision!r} is unknown; it is auto, float32 or bfloat16")
    return Device(resolved_device(device), precision, compile=compile_network)  # type: ignore[arg-type]


def settings_of(pairs: list[str] | None, flag: str) -> dict[str, str]:
    """`name=value` pairs as a dict. Raises a usage error for a malformed one."""
    found = {}
    for pair in pairs or []:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{flag} {pair!r} is not name=value")
        found[name.strip().replace("-", "_")] = value.strip()
    return found
