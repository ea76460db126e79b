"""The choice of data, as in the `data` section of a benchmark's YAML or in the flags of a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mvgen.core.records import Variant
from mvgen.dataset.classes import ClassSet
from mvgen.store import layout
from recognizer.errors import RecogniserError
from recognizer.readers.flow_images import DATASETS, FlowImageReader, Stretch

if TYPE_CHECKING:
    from recognizer.readers.base import Reader


class DataConfig(BaseModel):
    """Where samples come from: stores with or without truth, or one release, or one folder of flow images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stores: tuple[Path, ...] = Field(default=(), description="datasets that `mvgen build` wrote")
    angles: str | None = Field(
        default=None, description="render the stores' clips from these angles instead of the built ones"
    )
    random_angles: Annotated[int, Field(ge=0)] = Field(
        default=0, description="how many views of every clip to render from random yaw and pitch, to train on"
    )
    truth: Path | None = Field(default=None, description="true side views of the first store's stand-in")
    noise: Annotated[float, Field(ge=0)] = Field(
        default=1.5, description="standard deviation of the sensor noise added to the true views, 0 to 255"
    )
    source: str | None = Field(default=None, description="read this release directly; see `mvgen datasets`")
    root: Path | None = Field(default=None, description="folder of the release")
    annotations: Path | None = Field(default=None, description="workbook, or its folder, when it is not in ROOT")
    variant: Variant = Field(default="auto", description="which of the release's trees to read")
    cameras: str | None = Field(default=None, description="cameras of SMIC to read, as for `mvgen build`")
    kind: Literal["both", "micro", "macro"] = Field(default="both", description="expressions of a release to read")
    video_frames: int | None = Field(default=None, description="as for `mvgen build`")
    size: int = Field(default=256, description="side of a release's crops, pixels")
    flow_images: Path | None = Field(default=None, description="folder of precomputed onset-to-apex flow images")
    stretch: Stretch = Field(
        default="image", description="how motion became grey levels of flow images, see `readers.flow_images`"
    )
    channels: Literal["uvs", "usv", "vus", "vsu", "suv", "svu"] = Field(
        default="uvs", description="which of u, v and strain the red, green and blue channel of flow images are"
    )
    datasets: dict[str, str] = Field(
        default=dict(DATASETS), description="dataset -> regular expression of its subjects' names, in flow images"
    )
    classes: ClassSet | Literal["action-units"] | dict[str, tuple[str, ...]] = Field(
        default="three",
        description="a set of classes: three, emotion, objective, strcn-four; action-units, of which a clip has any "
        "number; or class -> the release's words for it. "
        "Of flow images: class -> its folders, by default every folder is one",
    )
    classes_by: Literal["emotion", "name"] = Field(
        default="emotion", description="whether the words are emotions or clip names"
    )
    least_positives: Annotated[int, Field(ge=1)] = Field(
        default=10, description="action units: leave out those that fewer expressions show"
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="clips to leave out: endings of their ids, where * matches anything"
    )
    least_frames: Annotated[int, Field(ge=1)] = Field(default=1, description="leave shorter clips out")
    face_only: bool = Field(default=True, description="make everything outside the face black, in every view")


def data_at(path: Path, **settings: object) -> DataConfig:
    """The data in a folder: a store, else flow images. Raises RecogniserError for a path that is not a folder."""
    if not path.is_dir():
        raise RecogniserError(f"{path} is not a folder; give a dataset of `mvgen build`, or a folder of flow images")
    if (path / layout.BUILD).is_file() or (path / layout.DATASET).is_file() or "truth" in settings:
        return DataConfig(stores=(path,), **settings)  # type: ignore[arg-type]
    return DataConfig(flow_images=path, **settings)  # type: ignore[arg-type]


def open_data(config: DataConfig, keep: Path | None = None) -> Reader:
    """Open the data of a config.

    keep : cache folder for samples that are slow to read; None reads them every time
    Raises RecogniserError if it names no kind of data or several, and the errors of the readers.
    """
    from recognizer.readers.base import ClassRule, Joined
    from recognizer.readers.kept import KeptReader

    kinds = [bool(config.stores), config.source is not None, config.flow_images is not None]
    if sum(kinds) != 1:
        raise RecogniserError("give one kind of data: stores, a source with its root, or flow_images")
    rule = ClassRule(config.classes, config.classes_by, least=config.least_positives)
    chosen: dict[str, Any] = config.model_dump(include={"exclude", "least_frames", "face_only"})
    if config.flow_images is not None:
        if isinstance(config.classes, str) and config.classes != "three":
            raise RecogniserError(
                f"flow images have no classes {config.classes!r}; give class -> its folders, or leave classes out"
            )
        folders = None if isinstance(config.classes, str) else config.classes
        return FlowImageReader(config.flow_images, folders, config.stretch, config.channels, config.datasets)
    if config.source is not None:
        from mvgen.core.settings import load_config
        from recognizer.readers.source import SourceReader

        read = {"dataset": config.source, **config.model_dump(include={"cameras", "kind", "video_frames"})}
        read = {name: value for name, value in read.items() if value is not None}
        reader = SourceReader(
            config.source,
            config.root,
            rule,
            load_config(None, {"source": read, "camera": {"size": config.size}}),
            annotations=config.annotations,
            variant=config.variant,
            **chosen,
        )
        return KeptReader(reader, keep) if keep else reader
    from recognizer.readers.store import StoreReader, chosen_rows

    rows = (row for out in config.stores for row in chosen_rows(out, config.exclude, config.least_frames))
    rule = rule.over(rows)  # so that all stores have the same classes
    stores = [StoreReader(out, rule, config.angles, drawn=config.random_angles, **chosen) for out in config.stores]
    rendered = config.angles or config.random_angles
    readers: list[Reader] = [KeptReader(one, keep) if keep and rendered else one for one in stores]
    if config.truth is not None:
        from recognizer.readers.truth import TruthReader

        truth = TruthReader(config.stores[0], config.truth, rule, noise=config.noise, **chosen)
        readers.append(KeptReader(truth, keep) if keep else truth)
    return Joined(readers)
