"""Where the networks run."""

from __future__ import annotations

from mvgen.errors import ConfigError


def resolved_device(device: str) -> str:
    """Where the networks run, "cpu" or "cuda", for a device as people give it. ConfigError when it is not there."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {device!r} is unknown; it is auto, cpu or cuda")
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ConfigError("device: cuda is not available on this machine; use --device cpu, or see `mvgen doctor`")
    return "cpu"
