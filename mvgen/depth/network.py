"""The face depth network: ResNet-18 encoder, five upconv + iconv stages with skips, sigmoid output.

Source: Table I of "Multi-view geometry consistency for micro-expression recognition". Added to the table: batch
normalisation in the decoder, a second output channel that says whether a pixel is face, and 68 landmarks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from mvgen.ibug import COUNT, MIRROR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The sigmoid spans these depths, world units (inter-ocular distances) from the eyes toward the camera: from behind the
# ears to a long nose that is tilted up.
DEPTH_RANGE = (-1.8, 1.0)
# Table I, decoder: channels of stages 5 to 1.
_DECODER_CHANNELS = (256, 128, 64, 32, 16)
# Landmarks are read off the third stage, at a quarter of the picture's size.
_LANDMARK_STAGE = 2
# Channel means and deviations that ResNets are used to, of RGB in [0, 1].
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class UpStage(nn.Module):
    """Upconv (double the size, 3x3) and iconv (3x3 over the result beside the encoder's skip), both with ReLU."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.upconv = _convolution(inputs, outputs)
        self.iconv = _convolution(outputs + skip, outputs)

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        # Bilinear, not nearest: repeated pixels leave a checkerboard in the depth.
        up = self.upconv(nn.functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False))
        return self.iconv(up if skip is None else torch.cat([up, skip], dim=1))


class Prediction(NamedTuple):
    """What the network sees in a batch of crops.

    depth : (B, S, S) world units within DEPTH_RANGE; face : (B, S, S) logit
    landmarks : (B, 68, 2) x and y as a share of the crop's side, 0 at its left and upper edge
    visible : (B, 68) logit, nothing hides the landmark
    """

    depth: Tensor
    face: Tensor
    landmarks: Tensor
    visible: Tensor


class LandmarkHead(nn.Module):
    """A heat map for each landmark, read as its centre of mass, and whether each landmark is visible.

    Source: integral regression, Sun et al., "Integral human pose regression", ECCV 2018, eq. 1-2.
    """

    def __init__(self, channels: int, trunk_channels: int) -> None:
        super().__init__()
        self.heat = nn.Conv2d(channels, COUNT, 1)
        self.visible = nn.Linear(trunk_channels, COUNT)

    def forward(self, features: Tensor, trunk: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, H, W) of a decoder stage and of the trunk (B, K, h, w) -> (B, 68, 2) and (B, 68)."""
        share = torch.softmax(self.heat(features).flatten(2).float(), dim=2).unflatten(2, features.shape[2:])
        centres = (torch.arange(share.shape[-1], device=share.device, dtype=share.dtype) + 0.5) / share.shape[-1]
        points = torch.stack([share.sum(dim=2) @ centres, share.sum(dim=3) @ centres], dim=-1)
        return points, self.visible(trunk.mean(dim=(2, 3))).float()


def mirror_landmarks(landmarks: Tensor) -> Tensor:
    """Landmarks (B, 68, 2) of the mirror image, as shares of the crop's side."""
    swapped = landmarks[:, MIRROR.tolist()]
    return torch.stack([1 - swapped[..., 0], swapped[..., 1]], dim=-1)


class FaceDepthNetwork(nn.Module):
    """Colour of a face crop -> depth, face and landmarks.

    Input (B, 3, S, S), normalised by `normalise`, S a multiple of 32. Output: a `Prediction`.
    """

    def __init__(self) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp

        self.encoder: Any = smp.encoders.get_encoder("resnet18", in_channels=3, depth=5, weights=None)
        channels = self.encoder.out_channels  # (3, 64, 64, 128, 256, 512)
        skips = (*channels[-2:0:-1], 0)
        inputs = (channels[-1], *_DECODER_CHANNELS[:-1])
        self.stages = nn.ModuleList(UpStage(*sizes) for sizes in zip(inputs, skips, _DECODER_CHANNELS, strict=True))
        self.head = nn.Conv2d(_DECODER_CHANNELS[-1], 2, 3, padding=1)
        self.landmark_head = LandmarkHead(_DECODER_CHANNELS[_LANDMARK_STAGE], channels[-1])

    def forward(self, images: Tensor) -> Prediction:
        features = self.encoder(images)
        skips = [*features[-2:0:-1], None]
        decoded = [features[-1]]
        for stage, skip in zip(self.stages, skips, strict=True):
            decoded.append(stage(decoded[-1], skip))
        depth, face = self.head(decoded[-1]).float().unbind(dim=1)
        landmarks, visible = self.landmark_head(decoded[_LANDMARK_STAGE + 1], features[-1])
        far, near = DEPTH_RANGE
        return Prediction(far + (near - far) * torch.sigmoid(depth), face, landmarks, visible)


def normalise(images: NDArray[np.uint8] | Tensor) -> Tensor:
    """(B, S, S, 3) uint8 RGB -> (B, 3, S, S) float32, channels_last in memory."""
    # A copy: frames may be read-only, which tensors cannot be.
    tensor = (images if isinstance(images, Tensor) else torch.tensor(images)).permute(0, 3, 1, 2).float() / 255.0
    mean, deviation = (tensor.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
    return ((tensor - mean) / deviation).contiguous(memory_format=torch.channels_last)
