"""`mvgen verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mvgen.commands.options import Store
from mvgen.core.console import print_table
from mvgen.core.errors import ConfigError
from mvgen.core.names import printable
from mvgen.store import layout
from mvgen.verification import Verification
from mvgen.verification import verify as run_verify


def verify(
    out: Store,
    sample: Annotated[int, typer.Option(help="number of views whose geometry is checked", min=0)] = 100,
    seed: Annotated[int, typer.Option(help="seed of the choice of these views")] = 0,
    against: Annotated[
        Literal["source-depth", "meshes"] | None,
        typer.Option(
            help="also compare depth with that of the source's sensor (source-depth), or of its meshes (meshes)"
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="with --against: folder of the release it was built from")] = None,
) -> int:
    """Check a finished dataset: every byte, the labels, the split and the geometry.

    Files are compared with their digests, the table with the build's records and the source's workbook. No subject may
    be in both splits. Depth, mask, frames and flow of a sample of views are projected back to the frontal clip.
    Nothing is changed.

    --against source-depth prints the difference from the sensor's depth, after one offset and one scale per clip;
    --against meshes that from the meshes of a release that was captured in 3D, per view.

    Exit code: 0 all is as it was built, 1 problems were found and listed, 2 there is no dataset.

    \b
    Examples:
      mvgen verify out
      mvgen verify out --sample 100000     # every view
      mvgen verify out --against source-depth --root CASME3
      mvgen verify out --against meshes --root 4DME
    """
    if (against is None) != (root is None):
        raise ConfigError("--against needs --root, the folder of the release, and --root is for --against only")
    result = run_verify(out, sample, seed)
    for finding in result.findings:
        print(finding)
    if result.findings:
        print("\n" + _advice(result))
    else:
        print(f"{out} is intact: {result.files} files, geometry of {result.views} views")
    if result.stand_in:
        print("Its source is a stand-in made by mvgen synth: results on it are not results on the release.")
    if against is not None and root is not None and not result.findings:
        _print_differences(out, root, against)
    return result.exit_code


def _print_differences(out: Path, root: Path, against: str) -> None:
    if against == "meshes":
        from mvgen.verification.meshes import EXPLAINED, compare_meshes

        compared = compare_meshes(out, root)
    else:
        from mvgen.verification.source_depth import EXPLAINED, compare_source_depth

        compared = compare_source_depth(out, root)
    print(f"\n{EXPLAINED}")
    if compared.same_origin:
        print("The dataset was built with --geometry source: its depth is the sensor's, smoothed.")
    print_table(compared.header(), compared.table(each=against != "meshes"))
    for clip, reason in compared.skipped:
        print(printable(f"{clip}: not compared: {reason}"))


def _advice(result: Verification) -> str:
    out, count = result.out, len(result.findings)
    found = f"{count} finding{'s' if count > 1 else ''}."
    if not (out / layout.BUILD).is_file():
        return f"{found} This copy has no records of its build: fetch the files again from its origin."
    # A build writes the other common files again in any case, this one only where it is missing.
    fitted = [finding.file for finding in result.findings if finding.file == layout.ATTENTION]
    removed = [layout.DATASET, *fitted, *(str(layout.marker_path(clip)) for clip in result.clips)]
    listed = "".join(f"\n  {printable(str(out / name))}" for name in removed)
    return f"{found} To repair the dataset, remove these files and run the command of its build again:{listed}"
