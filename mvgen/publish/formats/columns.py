"""The columns of a published view, defined once for all formats, the card and Croissant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mvgen.store.coding.steps import DEPTH_STEP

Kind = Literal["text", "texts", "whole", "real", "flag", "label", "image", "images", "bytes"]

# Depth has the steps that it has in a store, as 16 bits without a sign.
DEPTH_ZERO = 32768


@dataclass(frozen=True, slots=True)
class Column:
    """One column. kind : type of its values; about : their meaning, in Markdown"""

    name: str
    kind: Kind
    about: str


COLUMNS = (
    Column("clip", "text", "the clip's id: its folder in the source, with `__` for `/`"),
    Column("view", "text", "`source` is the registered frontal clip, `yaw-30` the view from -30 degrees"),
    Column("yaw", "real", "degrees; positive: the camera moves to the subject's left; null for the frontal clip"),
    Column("expression", "text", "the clip's id, or one id for all clips of an expression that several cameras filmed"),
    Column("subject", "text", "the subject's id, as the source writes it"),
    Column("name", "text", "the clip's name, as the source writes it"),
    Column("emotion", "text", "as the source writes it"),
    Column("label", "label", "the emotion's class; null where it has none"),
    Column("action_units", "texts", "one each, as the source writes them"),
    Column("objective_class", "text", "class by action units, as the source writes it; null where it does not"),
    Column("kind", "text", "`micro` or `macro`; null where the source does not say"),
    Column("split", "text", "`train` or `test`; a subject is in one of them only"),
    Column("onset", "whole", "position of the onset frame in `frames`, from 0"),
    Column("apex", "whole", "position of the apex frame"),
    Column("offset", "whole", "position of the offset frame"),
    Column("apex_estimated", "flag", "the source gives no apex; the frame of largest change from onset is taken"),
    Column("fps", "real", "frames per second"),
    Column("visible_attention", "real", "share of the attention map that the view can see, 0 to 1"),
    Column("valid_fraction", "real", "share of the view's pixels that the source saw, 0 to 1"),
    Column("registered", "real", "share of the frames that were moved onto the onset frame"),
    Column("left_out", "whole", "how many frames of the source could not be registered, and are not here"),
    Column("head_pixels", "real", "how far the head moved the face, at most, pixels"),
    Column("head_degrees", "real", "how far it turned, at most"),
    Column("residual", "real", "median difference of registered frames from the onset frame, grey levels of 255"),
    Column("largest_jump", "real", "largest motion of the face as a whole between registered frames, pixels"),
    Column("face_seen", "real", "share of the source's frames that show the face of the onset frame"),
    Column("blur", "real", "sigma of a Gaussian that blurs a sharp image as much, pixels"),
    Column("exposure", "real", "share of the face's pixels that are black or white"),
    Column("occlusion", "real", "share of the fitted face that something hides"),
    Column("kept", "flag", "whether the view is for training; always true in the test split"),
    Column("frame_names", "texts", "names of the frames"),
    Column("frames", "images", "colour, in temporal order: byte for byte as in the dataset, or made of its video"),
    Column(
        "depth",
        "image",
        f"16-bit PNG: (value - {DEPTH_ZERO}) / {round(1 / DEPTH_STEP)} is z toward the camera in distances between the "
        "eyes, 0 where there is no surface",
    ),
    Column("valid", "image", "8-bit PNG: 255 where the source saw the surface at this pixel, 0 elsewhere"),
    Column(
        "maps",
        "bytes",
        "NumPy `.npz`, byte for byte as in the dataset: `apex_flow` (S, S, 2) in steps of `flow_step` pixels, `flow` "
        "in the same and `depth` in `depth_step`, both coded as mvgen's page on the store says, and `valid`",
    ),
    Column(
        "geometry",
        "bytes",
        "NumPy `.npz`, byte for byte as in the dataset: depth, crop, landmarks, camera, fit, registration and "
        "attention of the clip; in the row of its frontal clip only, else null",
    ),
)
