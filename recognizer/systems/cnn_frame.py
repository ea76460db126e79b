"""A network for single frames after Takalkar and Xu: many copies of each image, no temporal information.

Source: Takalkar and Xu, Image based Facial Micro-Expression Recognition using Deep Learning on Small Datasets, DICTA
2017, as STRCN (section IV-C3) compares with it: every frame is classified, and the frames of a clip vote. Layers are
those of `cnn`.
"""

from __future__ import annotations

from torch import Tensor, nn

from recognizer.systems.cnn import FEATURES, Choices, FrameBaseline, frame_network


class Network(nn.Module):
    """`frames` (B, 3, T, S, S) -> logits, the mean of the frames' log probabilities."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        self.frame = frame_network()
        self.classify = nn.Sequential(nn.Dropout(choices.dropout), nn.Linear(FEATURES, classes))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        frames = inputs["frames"].transpose(1, 2)
        votes = self.classify(self.frame(frames.flatten(0, 1))).log_softmax(dim=1)
        return votes.unflatten(0, frames.shape[:2]).mean(dim=1)


class CnnFrame(FrameBaseline):
    name = "cnn-frame"
    source = "after Takalkar and Xu 2017, layers of this project; STRCN, table II"

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)
