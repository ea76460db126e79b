"""A convolutional network for frames, and a recurrent one over its features: LSTM or GRU.

Source: STRCN, section IV-C3 and table II, CNN-LSTM and CNN-GRU. The STRCN paper trains the recurrent part on features
of a fixed network; here both are trained together. Layers: `cnn`.
"""

from __future__ import annotations

from torch import Tensor, nn

from recognizer.systems.cnn import FEATURES, Choices, FrameBaseline, frame_network


class Network(nn.Module):
    """`frames` (B, 3, T, S, S) -> logits, from the recurrent network's last output."""

    def __init__(self, recurrent: type[nn.LSTM] | type[nn.GRU], choices: Choices, classes: int) -> None:
        super().__init__()
        self.frame = frame_network()
        self.recurrent = recurrent(FEATURES, FEATURES, batch_first=True)
        self.classify = nn.Sequential(nn.Dropout(choices.dropout), nn.Linear(FEATURES, classes))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        frames = inputs["frames"].transpose(1, 2)
        features = self.frame(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return self.classify(self.recurrent(features)[0][:, -1])


class CnnLstm(FrameBaseline):
    name = "cnn-lstm"
    source = "after STRCN, table II, CNN-LSTM, layers of this project"

    def network(self, classes: int) -> nn.Module:
        return Network(nn.LSTM, self.options, classes)


class CnnGru(FrameBaseline):
    name = "cnn-gru"
    source = "after STRCN, table II, CNN-GRU, layers of this project"

    def network(self, classes: int) -> nn.Module:
        return Network(nn.GRU, self.options, classes)
