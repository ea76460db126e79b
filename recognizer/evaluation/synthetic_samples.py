"""Small clips with known motion: part of a texture moves in one of four directions, and back."""

from __future__ import annotations

import numpy as np

from recognizer.ops.faces import mean_landmarks
from recognizer.records import Sample

# Motion of a class, as shares of its strength: right, down, left, up.
DIRECTIONS = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))
_CENTRE, _SPREAD = (0.5, 0.66), 0.16  # of the moving part, as shares of the side: around the mouth


def synthetic_sample(label: int = 0, seed: int = 0, frames: int = 16, size: int = 96, strength: float = 2.0) -> Sample:
    """A clip that moves in the direction of its class.

    seed : of the texture, and of landmarks near those of a mean face; strength : pixels at the apex
    """
    import cv2

    draw = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(draw.uniform(0, 255, (size, size, 3)).astype(np.float32), (0, 0), size / 40)
    texture = (texture - texture.min()) / np.ptp(texture) * np.float32(255)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    across, down = x + 0.5 - _CENTRE[0] * size, y + 0.5 - _CENTRE[1] * size
    away = (across**2 + down**2) / (2 * (_SPREAD * size) ** 2)
    motion = (np.exp(-away)[..., None] * np.array(DIRECTIONS[label]) * strength).astype(np.float32)
    phase = np.sin(np.linspace(0, np.pi, frames)).astype(np.float32)
    pictures = [
        cv2.remap(
            texture,
            x - motion[..., 0] * share,
            y - motion[..., 1] * share,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for share in phase
    ]
    apex = int(phase.argmax())
    spread = draw.normal(0, 0.01 * size, (68, 2)).astype(np.float32)
    return Sample(
        frames=np.rint(np.stack(pictures)).astype(np.uint8),
        flow=np.diff(phase)[:, None, None, None] * motion,
        apex_flow=(phase[apex] - phase[0]) * motion,
        valid=np.ones((size, size), bool),
        onset=0,
        apex=apex,
        offset=frames - 1,
        landmarks=mean_landmarks(size, "source") + spread,
        label=label,
        clip=f"acted/{seed}",
        subject=f"s{seed}",
        view="source",
    )
