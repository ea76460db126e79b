"""Convolutional LSTM, in one direction and in both.

Source: "Multi-view geometry consistency for micro-expression recognition", eq. 5, after Shi et al., NeurIPS 2015,
without their peepholes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvLSTM(nn.Module):
    """Equation 5: input, forget and output gate and candidate by convolutions of the input and of the last state."""

    def __init__(self, channels: int, hidden: int, kernel: int = 3) -> None:
        super().__init__()
        self.hidden = hidden
        # Channels of both: i, f, o, c. The bias of each gate is part of the input convolution.
        self.from_input = nn.Conv2d(channels, 4 * hidden, kernel, padding=kernel // 2)
        self.from_state = nn.Conv2d(hidden, 4 * hidden, kernel, padding=kernel // 2, bias=False)

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, T, C, H, W) -> hidden states (B, T, hidden, H, W)."""
        batch, steps, _, height, width = sequence.shape
        # The input part does not depend on the state: compute all steps at once.
        inputs = self.from_input(sequence.flatten(0, 1)).unflatten(0, (batch, steps))
        state = cell = inputs.new_zeros(batch, self.hidden, height, width)
        states = []
        for step in range(steps):
            i, f, o, candidate = (inputs[:, step] + self.from_state(state)).chunk(4, dim=1)
            cell = f.sigmoid() * cell + i.sigmoid() * candidate.tanh()
            state = o.sigmoid() * cell.tanh()
            states.append(state)
        return torch.stack(states, dim=1)


class BiConvLSTM(nn.Module):
    """Two ConvLSTMs that read the sequence forward and backward; a convolution joins their last states."""

    def __init__(self, channels: int, hidden: int, kernel: int = 3) -> None:
        super().__init__()
        self.ahead = ConvLSTM(channels, hidden, kernel)
        self.back = ConvLSTM(channels, hidden, kernel)
        self.join = nn.Conv2d(2 * hidden, channels, kernel, padding=kernel // 2)

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, T, C, H, W) -> (B, C, H, W), from the last state of each direction."""
        ends = [self.ahead(sequence)[:, -1], self.back(sequence.flip(1))[:, -1]]
        return self.join(torch.cat(ends, dim=1))
