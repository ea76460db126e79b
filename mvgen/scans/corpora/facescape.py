"""FaceScape: 847 people with 20 expressions each as models of one topology (TU), 359 of them also as multi-view sets.

TU models are millimetres, y up, the face toward +z, all scaled to one mean distance between the eyes; the textures of
people 360 to 847 may hide the eyes. Multi-view meshes are in another frame and have no colour: the toolkit's
`Rt_scale_dict.json` maps them to the frame of the TU models, and their photographs give the colour.
Source: Yang et al., "FaceScape: a large-scale high quality 3D face dataset and detailed riggable 3D face prediction",
CVPR 2020; layouts and keys by doc_tu_model.md and doc_mview_model.md of https://github.com/zhuhao-nju/facescape.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ScanError
from mvgen.scans.corpora.meshfiles import find_texture, read_ply
from mvgen.scans.corpora.scanned import Listing, ScanCorpus, ScanFile, ScanProblem, read_textured_obj
from mvgen.scans.corpora.trees import checked_root, nothing_found, walk
from mvgen.scans.corpora.views import colour_from_views, read_views
from mvgen.scans.looks.baking import simplified
from mvgen.scans.records import Scan

LICENCE = "FaceScape: signed licence agreement, non-commercial research only, no redistribution"
EXPRESSIONS = (
    "1_neutral", "2_smile", "3_mouth_stretch", "4_anger", "5_jaw_left", "6_jaw_right", "7_jaw_forward", "8_mouth_left",
    "9_mouth_right", "10_dimpler", "11_chin_raiser", "12_lip_puckerer", "13_lip_funneler", "14_sadness", "15_lip_roll",
    "16_grin", "17_cheek_blowing", "18_eye_closed", "19_brow_raiser", "20_brow_lower",
)  # fmt: skip
_ALIGNMENT = "Rt_scale_dict.json"
_EXPECTED = f"""FaceScape is expected as one or both of:
  ROOT/facescape_trainset_001_100/1/models_reg/1_neutral.obj, 1_neutral.jpg    (TU models)
  ROOT/.../1/1_neutral.ply with ROOT/.../1/1_neutral/0.jpg ... params.json     (multi-view sets)
  ROOT/{_ALIGNMENT}    (for multi-view sets; toolkit/predef of https://github.com/zhuhao-nju/facescape)
The data is available under a signed licence from https://facescape.nju.edu.cn."""
_METRE = 0.001
# Multi-view meshes have millions of triangles.
_TRIANGLES = 60_000


def read_scans(root: Path) -> Listing:
    """List the TU models and multi-view sets under a root; no mesh is read.

    Raises ScanError when the root is missing or holds no scan that can be used.
    """
    checked_root(root, "facescape", _EXPECTED)
    files: list[ScanFile] = []
    problems: list[ScanProblem] = []
    meshes: dict[tuple[str, str], Path] = {}
    pictures: dict[tuple[str, str], Path] = {}
    alignment, licensed = None, False
    for folder, folders, names in walk(root, 6):
        licensed = licensed or any("license" in name.lower() for name in names)
        if _ALIGNMENT in names:
            alignment = folder / _ALIGNMENT
        if folder.name == "models_reg":
            folders.clear()
            found, missing = _models(folder, names)
            files += found
            problems += missing
        elif "params.json" in names and folder.name in EXPRESSIONS and folder.parent.name.isdecimal():
            folders.clear()
            pictures[folder.parent.name, folder.name] = folder
        elif folder.name.isdecimal():
            plys = (folder / name for name in names if name.endswith(".ply"))
            meshes |= {(folder.name, ply.stem): ply for ply in plys if ply.stem in EXPRESSIONS}
    sets, unmatched = _view_sets(meshes, pictures, alignment)
    files, problems = files + sets, problems + unmatched
    if not files:
        what = "there is no models_reg/*.obj and no *.ply with photographs"
        if problems:
            what = f"no scan can be used; {problems[0].where.relative_to(root)}: {problems[0].reason}"
        raise nothing_found(root, "facescape", what, _EXPECTED)
    notes = () if licensed else (f"there is no licence file in {root.name}; its licence is: {LICENCE}",)
    order = {expression: number for number, expression in enumerate(EXPRESSIONS)}
    files.sort(key=lambda one: (int(one.identity), order[one.expression], one.mesh))
    return Listing(tuple(files), tuple(problems), notes)


def _models(folder: Path, names: list[str]) -> tuple[list[ScanFile], list[ScanProblem]]:
    """The TU models of one person, and those that cannot be used."""
    files, problems = [], []
    siblings = {name.lower(): folder / name for name in names}
    for obj in (folder / name for name in names if name.endswith(".obj")):
        texture = find_texture(obj, siblings)
        if not folder.parent.name.isdecimal() or obj.stem not in EXPRESSIONS:
            problems.append(ScanProblem(obj, "its path is not one of the release, such as 1/models_reg/1_neutral.obj"))
        elif texture is None or not texture.is_file():
            missing = texture.name if texture else f"{obj.stem}.jpg"
            problems.append(ScanProblem(obj, f"its texture {missing} is missing; extract it beside the OBJ"))
        else:
            files.append(ScanFile(folder.parent.name, obj.stem, obj, texture))
    return files, problems


def _view_sets(
    meshes: dict[tuple[str, str], Path], pictures: dict[tuple[str, str], Path], alignment: Path | None
) -> tuple[list[ScanFile], list[ScanProblem]]:
    """Meshes with their photographs, and problems for those that lack one of the two."""
    problems = []
    for key in sorted(set(meshes) ^ set(pictures)):
        where = meshes.get(key) or pictures[key]
        lacks = "photographs (params.json) are" if key in meshes else "mesh (.ply) is"
        problems.append(ScanProblem(where, f"its {lacks} missing; extract the other archive of this person too"))
    both = sorted(set(meshes) & set(pictures))
    if both and alignment is None:
        reason = f"multi-view sets need {_ALIGNMENT}; copy it from toolkit/predef of the toolkit's repository to ROOT"
        return [], problems + [ScanProblem(meshes[key], reason) for key in both]
    return [ScanFile(*key, meshes[key], pictures[key], alignment) for key in both], problems


def read_scan(file: ScanFile) -> Scan:
    """Read one scan, in the frame of the TU models.

    Raises ScanError when a file is missing or torn, or a multi-view set has no alignment.
    """
    if file.alignment is None:
        return read_textured_obj("facescape", file, _METRE)
    upright = read_alignment(file.alignment, file.identity, file.expression)
    raw = read_ply(file.mesh)
    own, triangles = simplified(raw.vertices, raw.triangles, _TRIANGLES)
    corner_uv, texture = colour_from_views(own, triangles, upright, read_views(file.colour))
    vertices = (own @ upright[:, :3].T + upright[:, 3]).astype(np.float32)
    return Scan("facescape", file.identity, file.expression, vertices, triangles, corner_uv, texture, _METRE)


def read_alignment(path: Path, identity: str, expression: str) -> NDArray[np.float64]:
    """The similarity (3, 4) from a multi-view mesh to the frame of the TU models, millimetres.

    Raises ScanError when the file is missing or torn, or does not contain the set.
    """
    try:
        scale, rigid = json.loads(path.read_text(encoding="utf-8"))[identity][expression.partition("_")[0]]
        matrix = np.asarray(rigid, np.float64)[:3, :4].copy()
        matrix[:, :3] *= float(scale)
    except OSError:
        raise ScanError(f"{path} is missing; copy it from toolkit/predef of the toolkit's repository") from None
    except KeyError:
        raise ScanError(f"{path} has no alignment for {identity}/{expression}; leave this set out") from None
    except (ValueError, TypeError, IndexError) as error:
        raise ScanError(f"{path} is torn ({error}); copy it from the toolkit's repository again") from None
    return matrix


def facescape_corpus(root: Path) -> ScanCorpus:
    """The people of the release under a root."""
    return ScanCorpus("facescape", LICENCE, read_scans(root), read_scan)
