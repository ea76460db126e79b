"""The face depth network: ResNet-18 encoder, five upconv + iconv stages with skips, sigmoid output.

Source: Table I of "Multi-view geometry consistency for micro-expression recognition". Added to the table: batch
normalisation in the decoder, and a second output channel, whether a pixel is face. The shipped network has the fitted
face model as input too; it predicts a correction of the fit and its confidence, by which the correction is multiplied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Range of the sigmoid, world units (inter-ocular distances) from the eyes toward the camera: from behind the ears to a
# long nose that is tilted up.
DEPTH_RANGE = (-1.8, 1.0)
# Table I, decoder: channels of stages 5 to 1.
_DECODER_CHANNELS = (256, 128, 64, 32, 16)
COLOURS, FIT_CHANNELS = 3, 4
DEPTH_UNIT = 0.5  # world units of the fit's depth per unit of the network's input
CORRECTION = 0.25  # world units per unit of the network's output
# Channel means and deviations that ResNets are trained with, of RGB in [0, 1].
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class UpStage(nn.Module):
    """Upconv (double the size, 3x3) and iconv (3x3 over the result and the encoder's skip), both with ReLU."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.upconv = _convolution(inputs, outputs)
        self.iconv = _convolution(outputs + skip, outputs)

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        # Bilinear, not nearest: repeated pixels leave a checkerboard in the depth.
        up = self.upconv(nn.functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False))
        return self.iconv(up if skip is None else torch.cat([up, skip], dim=1))


class Prediction(NamedTuple):
    """Outputs of the network for a batch of crops.

    depth : (B, S, S) world units; face : (B, S, S) logit that a pixel shows face
    trust : (B, S, S) logit that the network's correction of the fit is right; zeros for a network without the fit
    """

    depth: Tensor
    face: Tensor
    trust: Tensor


class FaceDepthNetwork(nn.Module):
    """Depth from a face crop and the face model fitted to it.

    fitted : whether the fit is an input that the network corrects; without, it is the paper's network
    Input (B, 7, S, S), see `network_input`, or (B, 3, S, S) without the fit; S a multiple of 32.
    """

    def __init__(self, fitted: bool = True) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp

        self.fitted = fitted
        inputs = COLOURS + FIT_CHANNELS if fitted else COLOURS
        self.encoder: Any = smp.encoders.get_encoder("resnet18", in_channels=inputs, depth=5, weights=None)
        channels = self.encoder.out_channels  # (inputs, 64, 64, 128, 256, 512)
        skips = (*channels[-2:0:-1], 0)
        wide = (channels[-1], *_DECODER_CHANNELS[:-1])
        self.stages = nn.ModuleList(UpStage(*sizes) for sizes in zip(wide, skips, _DECODER_CHANNELS, strict=True))
        self.head = nn.Conv2d(_DECODER_CHANNELS[-1], 3 if fitted else 2, 3, padding=1)

    def forward(self, images: Tensor, colour_alone: Tensor | None = None) -> Prediction:
        """colour_alone : (B,) bool, pictures whose fit is hidden from the encoder; the correction still adds to it."""
        shown = images
        if colour_alone is not None:
            shown = images.clone()
            shown[colour_alone, COLOURS:] = 0
        features = self.encoder(shown)
        skips = [*features[-2:0:-1], None]
        decoded = features[-1]
        for stage, skip in zip(self.stages, skips, strict=True):
            decoded = stage(decoded, skip)
        depth, face, *trust = self.head(decoded).float().unbind(dim=1)
        if self.fitted:
            correction = CORRECTION * depth * torch.sigmoid(trust[0])
            return Prediction(DEPTH_UNIT * images[:, COLOURS].float() + correction, face, trust[0])
        far, near = DEPTH_RANGE
        return Prediction(far + (near - far) * torch.sigmoid(depth), face, torch.zeros_like(face))


def network_input(colour: Tensor, fit: Tensor | None) -> Tensor:
    """The network's input, channels_last in memory.

    colour : (B, 3, S, S) from `normalise`
    fit : (B, 4, S, S), depth in world units and normals of the fitted face, NaN off it; None for a network without
    """
    if fit is None:
        return colour
    fit = fit.nan_to_num(0.0)
    unit = fit.new_tensor([DEPTH_UNIT, 1, 1, 1]).view(1, FIT_CHANNELS, 1, 1)
    return torch.cat([colour, fit / unit], dim=1).contiguous(memory_format=torch.channels_last)


def mirror_fit(fit: Tensor) -> Tensor:
    """The fit (B, 4, S, S) of the mirror image: the x of normals changes its sign."""
    turned = fit.flip(-1)
    return turned * turned.new_tensor([1, -1, 1, 1]).view(1, FIT_CHANNELS, 1, 1)


def normalise(images: NDArray[np.uint8] | Tensor) -> Tensor:
    """(B, S, S, 3) uint8 RGB -> (B, 3, S, S) float32, channels_last in memory."""
    # A copy: frames may be read-only, which tensors cannot be.
    tensor = (images if isinstance(images, Tensor) else torch.tensor(images)).permute(0, 3, 1, 2).float() / 255.0
    mean, deviation = (tensor.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
    return ((tensor - mean) / deviation).contiguous(memory_format=torch.channels_last)
