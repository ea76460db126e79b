"""`mvgen export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mvgen.commands.options import Store
from mvgen.core.errors import ConfigError
from mvgen.dataset.classes import ClassSet
from mvgen.store import layout


def export(
    store: Store,
    *,
    to: Annotated[
        Literal["frames", "flow-images", "meb", "vqa", "mp4", "gif"],
        typer.Option(help="form to write", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="new folder to write into; mp4, gif: new file", show_default=False)],
    views: Annotated[
        str | None,
        typer.Option(
            help="views to write: source, yaw+15, ... with commas, or all  [default: source; mp4, gif: and four more]"
        ),
    ] = None,
    classes: Annotated[ClassSet, typer.Option(help="flow-images: set of classes")] = "three",
    size: Annotated[
        int | None, typer.Option(help="side of the motion, pixels  [default: flow-images 28, meb 64]", min=8, max=1024)
    ] = None,
    clip: Annotated[str | None, typer.Option(help="mp4, gif: id of the clip, as in clips.parquet")] = None,
    speed: Annotated[float, typer.Option(help="mp4, gif: speed of playing, 0.25 is a quarter", min=0.001)] = 1.0,
) -> int:
    """Write a finished dataset in a form that published code reads, or one clip as a video.

    frames: the frames as files under the source's names, also of a dataset whose views are videos. flow-images: u,
    v and strain from onset to apex, in the folds of STSTNet and HTNet (norm_u_v_os). meb: the same as arrays with a
    data frame, for MEB. vqa: questions and answers as in MEGC's ME-VQA. mp4, gif: the source and views of one clip
    side by side, in a file that says that its views are synthetic. What is written is made from the source's
    pixels or labels: its terms hold for it.

    \b
    Examples:
      mvgen export multi-view --to frames --views all --out frames
      mvgen export multi-view --to flow-images --out norm_u_v_os
      mvgen export multi-view --to flow-images --views source,yaw-15,yaw+15 --classes strcn-four --out flow
      mvgen export multi-view --to meb --out meb
      mvgen export multi-view --to vqa --out questions
      mvgen export multi-view --to mp4 --clip CLIP --speed 0.25 --out clip.mp4
    """
    from mvgen.export.base import open_store
    from mvgen.export.flow_images import SIZE as IMAGE_SIZE
    from mvgen.export.flow_images import write_flow_images
    from mvgen.export.frames import write_frames
    from mvgen.export.meb import SIZE as ARRAY_SIZE
    from mvgen.export.meb import write_meb
    from mvgen.export.video import SUFFIXES
    from mvgen.export.vqa import write_vqa

    if to in SUFFIXES:
        return _export_video(store, to, clip, out, views, speed)
    exported = open_store(store, _names(views or "source"))
    print(f"terms of {exported.terms}")
    if to == "frames":
        print(f"{write_frames(exported, out)} frames in {out}")
    elif to == "flow-images":
        print(f"{write_flow_images(exported, out, classes, size or IMAGE_SIZE)} images in {out}")
        print(f"read them with: recognizer bench bench/megc_442 --flow-images {out} --out RUN")
    elif to == "meb":
        print(f"{write_meb(exported, out, size or ARRAY_SIZE)} rows in {out}")
    else:
        print(f"{write_vqa(exported, out)} questions in {out}")
    return 0


def _export_video(  # noqa: PLR0917
    store: Path, to: str, clip: str | None, out: Path, views: str | None, speed: float
) -> int:
    from mvgen.export.base import open_store
    from mvgen.export.video import FEW, SUFFIXES, write_video

    if clip is None:
        raise ConfigError(f"--to {to} needs --clip, the id of a clip as in {store / layout.TABLE}")
    if out.suffix.lower() != SUFFIXES[to]:
        raise ConfigError(f"--to {to} writes one file: give an --out that ends in {SUFFIXES[to]}")
    exported = open_store(store, _names(views or "all"))
    print(f"terms of {exported.terms}")
    frames = write_video(exported, clip, out, speed, None if views else FEW)
    print(f"{frames} frames in {out}")
    return 0


def _names(views: str) -> tuple[str, ...]:
    return tuple(view.strip() for view in views.split(","))
