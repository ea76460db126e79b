"""Error metrics of side views and their motion. Arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask

Floats = NDArray[np.floating]

_SSIM_SIGMA = 1.5
_SSIM_REACH = 5  # pixels, radius of the window of scikit-image at that sigma


def psnr(picture: Image, truth: Image, where: Mask) -> float:
    """Peak signal-to-noise ratio of a picture (S, S, 3) in the pixels of a mask (S, S), dB; NaN where there are none.

    Infinite for equal pictures.
    """
    if not where.any():
        return float("nan")
    error = np.square(picture[where].astype(np.float64) - truth[where]).mean()
    return float(10 * np.log10(255**2 / error)) if error > 0 else float("inf")


def ssim(picture: Image, truth: Image, where: Mask) -> float:
    """Structural similarity of two pictures (S, S, 3) in grey, mean over the windows inside a mask (S, S).

    NaN where there is none. Source: Wang et al., Image quality assessment, 2004, with its Gaussian window.
    """
    import cv2
    from skimage.metrics import structural_similarity

    window = np.ones((2 * _SSIM_REACH + 1,) * 2, np.uint8)
    inner = cv2.erode(where.astype(np.uint8), window, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    if not inner.any():
        return float("nan")
    _, similarity = structural_similarity(
        *(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (picture, truth)),
        gaussian_weights=True, sigma=_SSIM_SIGMA, use_sample_covariance=False, data_range=255, full=True,
    )  # fmt: skip
    return float(similarity[inner].mean())


def whole(mask: Mask) -> Mask:
    """A mask (S, S) without its rim, where pixels may contain background."""
    import cv2

    window = np.ones((3, 3), np.uint8)
    return cv2.erode(mask.astype(np.uint8), window, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0


def known_mean(values: Iterable[float]) -> float:
    """Mean of the finite ones; NaN where there is none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


class FlowErrors(NamedTuple):
    """Errors of the flow of one view, means over pixels.

    error : length of the difference, pixels; motion : length of the true motion, pixels
    angle : between the two as vectors (dx, dy, 1) in space and time, degrees
    """

    error: float
    motion: float
    angle: float


def flow_errors(flow: Floats, motion: Floats, where: Mask) -> FlowErrors:
    """Compare a flow (S, S, 2) with the true motion (S, S, 2), pixels, in a mask (S, S) where the motion is known.

    NaN where there is no such pixel. Source: Barron et al., Performance of optical flow techniques, 1994; Baker et
    al., A database and evaluation methodology for optical flow, 2011.
    """
    where = where & np.isfinite(motion).all(axis=-1)
    if not where.any():
        return FlowErrors(*[float("nan")] * 3)
    found, true = flow[where].astype(np.float64), motion[where].astype(np.float64)
    one, other = (np.column_stack([vectors, np.ones(len(vectors))]) for vectors in (found, true))
    # The arc cosine of a dot product loses small angles to rounding; the arc tangent does not.
    angle = np.arctan2(np.linalg.norm(np.cross(one, other), axis=-1), (one * other).sum(axis=-1))
    return FlowErrors(
        error=float(np.linalg.norm(found - true, axis=-1).mean()),
        motion=float(np.linalg.norm(true, axis=-1).mean()),
        angle=float(np.degrees(angle).mean()),
    )


def relative_error(errors: Sequence[FlowErrors]) -> float:
    """Error of some flows over the true motion: 0 is perfect, 1 as bad as zero flow; NaN without any motion.

    Sums are divided, not averaged ratios, which are meaningless where hardly anything moves.
    """
    known = [one for one in errors if np.isfinite(one.error)]
    motion = sum(one.motion for one in known)
    return sum(one.error for one in known) / motion if motion > 0 else float("nan")


def false_motion(flow: Floats, where: Mask) -> float:
    """Mean length of the flow (T-1, S, S, 2) of a still clip in a mask (S, S), pixels a frame; NaN in an empty one."""
    return float(np.linalg.norm(flow[:, where], axis=-1).mean()) if where.any() else float("nan")
