"""Training of the depth network: data rendered once and kept, then Adam with a rate that falls in the second half.

Source of the recipe: section IV-B of the main paper (30 epochs, batch 8, Adam, 10e-4 falling to 10e-5 over the second
half, colour jitter 0.2/0.2/0.2/0.1 at p = 0.5, 90 % of the models for training); loss eq. 1-2.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor
from torch.nn import functional as F

from mvgen.core.config import canonical_json, file_digest
from mvgen.core.device import resolved_device
from mvgen.core.errors import ConfigError, WeightsError
from mvgen.core.files import find_config
from mvgen.core.settings import read_yaml
from mvgen.depth.network import FaceDepthNetwork, mirror_fit, network_input, normalise
from mvgen.scans import open_corpus
from mvgen.scans.records import Corpus
from mvgen.training.augment import Reframing, degrade, jitter_colour
from mvgen.training.depth_card import RunFacts, finish
from mvgen.training.depth_data import PEOPLE_PER_CORPUS, Samples
from mvgen.training.loss import change_loss, depth_loss, trust_loss
from mvgen.training.shards import Recipe, Report, make_data, read_data

_PEOPLE_OF_A_MODEL = 1536
_SECONDS_BETWEEN_REPORTS = 30
PictureSize = Annotated[int, Field(ge=64, multiple_of=32)]


class TrainingConfig(BaseModel):
    """One training run, read from YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    people: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description="most people of each corpus; of a corpus not named here all, or 1536 of a parametric model",
    )
    per_person: Annotated[int, Field(ge=2, multiple_of=2)] = Field(
        4, description="photographs of each person, two in each setting"
    )
    size: PictureSize = Field(128, description="side of the rendered pictures, pixels")
    epochs: Annotated[tuple[tuple[PictureSize, Annotated[int, Field(ge=1)]], ...], Field(min_length=1)] = Field(
        ((64, 4), (96, 2)),
        description="(side of the pictures, epochs), one after the other; small pictures give most of "
        "the result at little cost, and the network is used at the last size",
    )
    batch: Annotated[int, Field(ge=2, multiple_of=2)] = Field(16, description="pictures per step")
    rate: Annotated[float, Field(gt=0)] = Field(1e-3, description="learning rate of Adam in the first half")
    final_rate: Annotated[float, Field(gt=0)] = Field(1e-4, description="learning rate at the end; cosine in between")
    validation_share: Annotated[float, Field(gt=0, lt=0.5)] = Field(0.1, description="share of the identities held out")
    gradient_weight: Annotated[float, Field(ge=0)] = Field(1.0, description="weight of the slope term of the loss")
    change_weight: Annotated[float, Field(ge=0)] = Field(1.0, description="weight of the change between two frames")
    face_weight: Annotated[float, Field(ge=0)] = Field(0.2, description="weight of the face mask term")
    fitted: bool = Field(True, description="give the network the fitted face model; false is the paper's network")
    trust_weight: Annotated[float, Field(ge=0)] = Field(0.1, description="weight of the trust in the correction")
    colour_alone: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="share of the pictures for which the encoder does not get the fit"
    )
    augment: bool = Field(
        True, description="crop pictures anew (zoom, roll, shift) and degrade them (grey, gamma, blur, noise, patches)"
    )
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

    def recipe(self, corpus: Corpus, root: Path | None) -> Recipe:
        """The recipe of the pictures of a corpus; root is its folder, None for an embedded one."""
        people = min(self.people.get(corpus.name, corpus.count or _PEOPLE_OF_A_MODEL), corpus.count or sys.maxsize)
        return Recipe(corpus.name, root, people, self.per_person, self.size, self.seed)


def load_training_config(path: Path) -> TrainingConfig:
    """Read a YAML file, or a name of `mvgen configs`. Raises ConfigError with the file and its invalid settings."""
    values = read_yaml(find_config(path, "training config"), "training config")
    try:
        return TrainingConfig(**values)
    except TypeError as error:
        raise ConfigError(f"training config {path} is not valid YAML with `name: value` lines: {error}") from None
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"training config {path}: {problems}") from None


def train(
    config: TrainingConfig,
    out: Path,
    *,
    corpora: dict[str, Path | None],
    data: Path,
    start: Path | None = None,
    device: str = "auto",
    workers: int = 2,
    report: Report = print,
) -> Path:
    """Train a depth network and write `face_depth.safetensors` (fp16) and its model card into `out`.

    corpora : name -> folder, None for an embedded corpus
    data : folder of rendered pictures, filled when it is empty
    start : initial weights; None for random ones
    A run that was stopped resumes after its last epoch (`out/checkpoint.safetensors`, `out/progress.json`).
    """
    from torch.utils.tensorboard import SummaryWriter

    started = time.monotonic()
    torch.manual_seed(config.seed)
    network = FaceDepthNetwork(config.fitted)
    if start:
        report(f"{start}: {start_from(network, start)} of {len(network.state_dict())} tensors taken")
    start_digest = file_digest(start) if start else None
    run = {"config": config.model_dump(mode="json"), "start": start_digest}
    opened = {name: open_corpus(name, root) for name, root in corpora.items()}
    out.mkdir(parents=True, exist_ok=True)
    for name, corpus in opened.items():
        for note in corpus.notes:
            report(f"{name}: {note}")
    recipes = [config.recipe(corpus, corpora[name]) for name, corpus in opened.items()]
    samples = read_data([shard for recipe in recipes for shard in make_data(recipe, data, workers, report)])
    held_out = hold_out(samples.identity, config)
    validating = np.isin(samples.identity, held_out)
    training, validation = np.flatnonzero(~validating), np.flatnonzero(validating)
    report(f"{len(training)} pictures to train on, {len(validation)} of {len(held_out)} other people to validate on")
    if len(training) < config.batch:
        raise ConfigError(
            f"{len(training)} pictures are fewer than one batch of {config.batch}; give more people, or a smaller batch"
        )

    where = torch.device(resolved_device(device))
    network = network.to(where).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.rate)
    steps = len(config.sizes) * (len(training) // config.batch)
    first_epoch, history = _resume(out, run, network, optimiser)
    board = SummaryWriter(str(out / "tensorboard"), purge_step=first_epoch)
    for epoch, size in enumerate(config.sizes[first_epoch:], start=first_epoch):
        generator = torch.Generator().manual_seed(config.seed * 1000 + epoch)
        pairs = training.reshape(-1, 2)
        order = pairs[torch.randperm(len(pairs), generator=generator).numpy()].reshape(-1)
        network.train()
        losses = []
        began = reported = time.monotonic()
        for step in range(len(training) // config.batch):
            if time.monotonic() - reported > _SECONDS_BETWEEN_REPORTS:
                reported = time.monotonic()
                left = (reported - began) / step * (len(training) // config.batch - step)
                report(f"epoch {epoch + 1} of {len(config.sizes)}: step {step}, {left / 60:.1f} min left in it")
            done = (epoch * (len(training) // config.batch) + step) / steps
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(config, done)
            batch = order[step * config.batch : (step + 1) * config.batch]
            frame = Reframing.draw(len(batch) // 2, generator) if config.augment else None
            losses.append(
                _step(
                    network, optimiser, _tensors(samples, batch, where, size, frame, config.fitted), config, generator
                )
            )
        error = evaluate(network, samples, validation, where, size)
        history.append({"epoch": epoch + 1, "size": size, "loss": float(np.mean(losses)), **error})
        for name, value in history[-1].items():
            board.add_scalar(name, value, epoch + 1)
        report("  ".join(f"{name} {value:.4g}" for name, value in history[-1].items()))
        _checkpoint(out, run, network, optimiser, history)
        shown = validation[:: max(1, len(validation) // 8)][:8]
        _picture(
            out / f"samples-{epoch + 1:03d}.png", network, _tensors(samples, shown, where, size, None, config.fitted)
        )
    board.close()
    facts = RunFacts(
        corpora=list(opened.values()), training=len(training),
        validation=len(validation), minutes=(time.monotonic() - started) / 60, device=where.type,
        start=start_digest,
    )  # fmt: skip
    return finish(out, config, network, history, facts)


def start_from(network: FaceDepthNetwork, start: Path) -> int:
    """Initialise a network with the tensors of other weights that match; returns how many did.

    Weights of a network without the fit give their encoder too: the inputs that the fit adds to the first convolution
    start at zero. Raises WeightsError for a file that cannot be read, or of another kind of network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    first = "encoder.conv1.weight"
    try:
        tensors = load_file(start)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"depth weights {start} cannot be read: {error}") from None
    own = network.state_dict()
    if first not in tensors or tensors[first].shape[0] != own[first].shape[0]:
        raise WeightsError(f"depth weights {start} are of another network; give some that mvgen train-depth wrote")
    if tensors[first].shape[1] < own[first].shape[1]:
        tensors[first] = F.pad(tensors[first], (0, 0, 0, 0, 0, own[first].shape[1] - tensors[first].shape[1]))
    taken = {name: value.to(own[name].dtype) for name, value in tensors.items()
             if name in own and value.shape == own[name].shape}  # fmt: skip
    network.load_state_dict(own | taken)
    return len(taken)


def hold_out(identity: np.ndarray, config: TrainingConfig) -> np.ndarray:
    """The people (identity numbers) held out for validation: the same share of each corpus, at least one."""
    generator = np.random.default_rng(config.seed)
    people = np.unique(identity)
    chosen = []
    for corpus in np.unique(people // PEOPLE_PER_CORPUS):
        own = generator.permutation(people[people // PEOPLE_PER_CORPUS == corpus])
        chosen.append(own[: max(1, round(len(own) * config.validation_share))])
    return np.concatenate(chosen)


def learning_rate(config: TrainingConfig, done: float) -> float:
    """Constant over the first half, then a cosine down to `final_rate`; `done` in [0, 1]."""
    late = max(0.0, 2 * done - 1)
    return config.final_rate + (config.rate - config.final_rate) * 0.5 * (1 + math.cos(math.pi * late))


@dataclass(frozen=True, slots=True)
class _Batch:
    """Pictures on the device.

    colour : (B, S, S, 3) uint8, on the CPU; depth : (B, S, S) float32, zero where unknown
    face, known : (B, S, S) bool, face, and face with known depth (and covered by the fit, where there is one)
    fit : (B, 4, S, S) float32, see `network_input`; None for a network without it
    """

    colour: Tensor
    depth: Tensor
    face: Tensor
    known: Tensor
    fit: Tensor | None

    def input(self, colour: Tensor) -> Tensor:
        """The input of the network for pictures (B, S, S, 3) uint8."""
        return network_input(normalise(colour).to(self.depth.device), self.fit)


def _tensors(  # noqa: PLR0917
    samples: Samples,
    batch: np.ndarray,
    where: torch.device,
    size: int,
    reframing: Reframing | None = None,
    fitted: bool = True,
) -> _Batch:
    colour = torch.from_numpy(samples.colour[batch])
    depth = torch.from_numpy(samples.depth[batch].astype(np.float32))
    face = torch.from_numpy(samples.face[batch])
    known = face & depth.isfinite()
    depth = depth.nan_to_num()
    fit = torch.from_numpy(samples.fit[batch].astype(np.float32)).permute(0, 3, 1, 2) if fitted else None
    if reframing or size != colour.shape[1]:
        images = _resize(colour.permute(0, 3, 1, 2).float(), size, reframing, "border")
        colour = images.round().byte().permute(0, 2, 3, 1)
        # A pixel is known where all pixels that it averages are.
        depth, face_share, known_share = _resize(
            torch.stack([depth, face.float(), known.float()], dim=1), size, reframing, "zeros"
        ).unbind(dim=1)
        face, known = face_share > 0.5, known_share > 0.999
        if fit is not None:
            there = fit[:, :1].isfinite().float()
            both = _resize(torch.cat([fit.nan_to_num(), there], dim=1), size, reframing, "zeros")
            fit = torch.where(both[:, 4:] > 0.5, both[:, :4] / both[:, 4:], math.nan)
    if reframing:
        depth = depth * reframing.zoom[:, None, None]
        fit = None if fit is None else reframing.turn(fit)
    if fit is not None:
        known = known & fit[:, 0].isfinite()
        fit = fit.to(where)
    return _Batch(colour, depth.to(where), face.to(where), known.to(where), fit)


def _resize(images: Tensor, size: int, reframing: Reframing | None, beyond: str) -> Tensor:
    """(B, C, S, S) -> (B, C, size, size), in the new crop, if any; `beyond` as in `Reframing.sample`."""
    return reframing.sample(images, size, beyond) if reframing else _shrink(images, size)


def _shrink(images: Tensor, size: int) -> Tensor:
    """(B, C, S, S) -> (B, C, size, size): the mean of whole blocks where they fit, else a triangle filter."""
    if images.shape[-1] % size == 0:
        return F.avg_pool2d(images, images.shape[-1] // size)
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def _step(
    network: FaceDepthNetwork, optimiser: Any, batch: _Batch, config: TrainingConfig, generator: torch.Generator
) -> float:
    """One step of Adam on one batch, mirrored, colour-jittered and degraded at random. Returns the loss."""
    where = batch.depth.device
    images = jitter_colour(batch.colour.permute(0, 3, 1, 2).float() / 255, generator)
    if config.augment:
        images = degrade(images, generator)
    colour = (images.permute(0, 2, 3, 1) * 255).round()
    depth, face, known, fit = batch.depth, batch.face, batch.known, batch.fit
    mirrored = (torch.rand(len(images) // 2, generator=generator) < 0.5).repeat_interleave(2)
    colour[mirrored] = colour[mirrored].flip(2)
    for tensor in (depth, face, known):
        tensor[mirrored] = tensor[mirrored].flip(-1)
    if fit is not None:
        fit[mirrored] = mirror_fit(fit[mirrored])
    seen = network_input(normalise(colour).to(where), fit)
    alone = (torch.rand(len(images) // 2, generator=generator) < config.colour_alone).repeat_interleave(2)
    with torch.autocast(where.type, dtype=torch.bfloat16, enabled=fast_bfloat16(where)):
        predicted = network(seen, alone.to(where) if fit is not None else None)
    loss = depth_loss(predicted.depth, depth, known, config.gradient_weight)
    if config.change_weight:
        loss = loss + config.change_weight * change_loss(predicted.depth, depth, known)
    # Where there is no fitted face the mask is not used.
    used = face.new_ones(()).expand_as(face) if fit is None else fit[:, 0].isfinite()
    loss = loss + config.face_weight * F.binary_cross_entropy_with_logits(predicted.face[used], face[used].float())
    if fit is not None:
        loss = loss + config.trust_weight * trust_loss(predicted, fit[:, 0].nan_to_num(), depth, known)
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
    """Errors on the pictures `indices`, in pairs of frames of one setting.

    In % of the inter-ocular distance: mean absolute error, the same without the mean difference of each face, the error
    of the fit alone, RMS change between two frames of a still face. Also: face IoU, and the correlation of predicted
    and true change between two frames, where the true one is more than 1 %.
    """
    network.eval()
    absolute, shape, fits, overlap, still, changes = [], [], [], [], [], []
    pairs = indices.reshape(-1, 2)
    for batch in np.array_split(pairs, -(-len(pairs) // 16)):
        picked = _tensors(samples, batch.reshape(-1), where, size, None, network.fitted)
        predicted, logit, _ = network(picked.input(picked.colour))
        found = logit > 0
        overlap.append((found & picked.face).sum((1, 2)) / (found | picked.face).sum((1, 2)).clamp(min=1))
        fit = predicted if picked.fit is None else picked.fit[:, 0]
        for one, start, truth, mask in zip(predicted, fit, picked.depth, picked.known, strict=True):
            difference = (one - truth)[mask]
            absolute.append(difference.abs().mean())
            shape.append((difference - difference.mean()).abs().mean())
            fits.append((start - truth)[mask].abs().mean())
        change, true_change = (values[0::2] - values[1::2] for values in (predicted, picked.depth))
        both = picked.known[0::2] & picked.known[1::2]
        for one, truth, mask in zip(change, true_change, both, strict=True):
            if not truth[mask].any():
                still.append(one[mask].square().mean())
            moved = mask & (truth.abs() > 0.01) & (truth.abs() < 0.3)
            changes.append(torch.stack([one[moved], truth[moved]]))
    unknown, moving = torch.tensor(math.nan), torch.cat(changes, dim=1)
    figures = {
        "mae_percent": 100 * torch.stack(absolute).nanmean(),
        "shape_mae_percent": 100 * torch.stack(shape).nanmean(),
        "fit_mae_percent": 100 * torch.stack(fits).nanmean(),
        "face_iou": torch.cat(overlap).mean(),
        "change_correlation": torch.corrcoef(moving)[0, 1] if moving.shape[1] > 1 else unknown,
        "still_percent": 100 * torch.stack(still).mean().sqrt() if still else unknown,
    }
    if not network.fitted:
        del figures["fit_mae_percent"]
    # Undefined figures are left out: a few pairs may all move.
    return {name: float(value) for name, value in figures.items() if value.isfinite()}


def _checkpoint(out: Path, run: dict[str, Any], network: FaceDepthNetwork, optimiser: Any, history: list) -> None:
    from safetensors.torch import save_file

    moments = {
        f"optimiser.{index}.{name}": value.contiguous()
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }
    tensors = {f"network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    save_file(tensors | moments, out / "checkpoint.partial")
    os.replace(out / "checkpoint.partial", out / "checkpoint.safetensors")
    (out / "progress.json").write_text(canonical_json(run | {"history": history}), encoding="utf-8")


def _resume(out: Path, run: dict[str, Any], network: FaceDepthNetwork, optimiser: Any) -> tuple[int, list]:
    """The epoch to resume with, and the history before it."""
    from safetensors.torch import load_file

    if not (out / "progress.json").exists() or not (out / "checkpoint.safetensors").exists():
        return 0, []
    progress = json.loads((out / "progress.json").read_text(encoding="utf-8"))
    if any(progress.get(name) != value for name, value in run.items()):
        raise ConfigError(f"{out} holds a training run with another config or start; give another --out, or remove it")
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
    predicted, *_ = network(picked.input(picked.colour))

    def grey(values: Tensor, mask: Tensor) -> np.ndarray:
        level = ((values + 1.4) / 2.1).clamp(0, 1) * 255 * mask
        return np.repeat(level.cpu().numpy().astype(np.uint8)[..., None], 3, axis=-1)

    rows = [picked.colour.numpy(), grey(picked.depth, picked.known), grey(predicted, picked.known)]
    Image.fromarray(np.vstack([np.hstack(list(row)) for row in rows])).save(path)
