"""`mvgen export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mvgen.commands.options import Store
from mvgen.dataset.classes import ClassSet


def export(
    store: Store,
    *,
    to: Annotated[
        Literal["frames", "flow-images", "meb", "vqa"], typer.Option(help="form to write", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="new folder to write into", show_default=False)],
    views: Annotated[str, typer.Option(help="views to write: source, yaw+15, ... with commas, or all")] = "source",
    classes: Annotated[ClassSet, typer.Option(help="flow-images: set of classes")] = "three",
    size: Annotated[
        int | None, typer.Option(help="side of the motion, pixels  [default: flow-images 28, meb 64]", min=8, max=1024)
    ] = None,
) -> int:
    """Write a finished dataset in a form that published code reads.

    frames: the frames as files under the source's names, also of a dataset whose views are videos. flow-images: u,
    v and strain from onset to apex, in the folds of STSTNet and HTNet (norm_u_v_os). meb: the same as arrays with a
    data frame, for MEB. vqa: questions and answers as in MEGC's ME-VQA. What is written is made from the source's
    pixels or labels: its terms hold for it.

    \b
    Examples:
      mvgen export multi-view --to frames --views all --out frames
      mvgen export multi-view --to flow-images --out norm_u_v_os
      mvgen export multi-view --to flow-images --views source,yaw-15,yaw+15 --classes strcn-four --out flow
      mvgen export multi-view --to meb --out meb
      mvgen export multi-view --to vqa --out questions
    """
    from mvgen.export.base import open_store
    from mvgen.export.flow_images import SIZE as IMAGE_SIZE
    from mvgen.export.flow_images import write_flow_images
    from mvgen.export.frames import write_frames
    from mvgen.export.meb import SIZE as ARRAY_SIZE
    from mvgen.export.meb import write_meb
    from mvgen.export.vqa import write_vqa

    exported = open_store(store, tuple(view.strip() for view in views.split(",")))
    print(f"terms of {exported.terms}")
    if to == "frames":
        print(f"{write_frames(exported, out)} frames in {out}")
    elif to == "flow-images":
        print(f"{write_flow_images(exported, out, classes, size or IMAGE_SIZE)} images in {out}")
        print(f"read them with: recognizer bench configs/bench/megc_442.yaml --flow-images {out} --out RUN")
    elif to == "meb":
        print(f"{write_meb(exported, out, size or ARRAY_SIZE)} rows in {out}")
    else:
        print(f"{write_vqa(exported, out)} questions in {out}")
    return 0
