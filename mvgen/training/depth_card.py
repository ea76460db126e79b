"""The end of a training run: the weights in half precision, and their model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mvgen.core.config import file_digest
from mvgen.depth.estimator import INPUT_SIZE
from mvgen.scans.records import Corpus

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mvgen.depth.network import FaceDepthNetwork

_FIGURES = (
    "mae_percent", "shape_mae_percent", "fit_mae_percent", "face_iou", "change_correlation", "still_percent",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Data, time and start of a training run.

    training, validation : pictures; minutes : of this process, pictures included; device : "cpu" or "cuda"
    start : sha256 of the initial weights, None for random ones
    """

    corpora: list[Corpus]
    training: int
    validation: int
    minutes: float
    device: str
    start: str | None


def finish(
    out: Path, config: BaseModel, network: FaceDepthNetwork, history: list[dict[str, Any]], facts: RunFacts
) -> Path:
    """Write `face_depth.safetensors` (fp16) and its card `face_depth.md` into a folder; returns the weights' path."""
    from safetensors.torch import save_file

    target = out / "face_depth.safetensors"
    tensors = {
        name: value.detach().cpu().contiguous().half() if value.is_floating_point() else value.cpu()
        for name, value in network.state_dict().items()
    }
    last = history[-1]
    save_file(tensors, target, metadata={INPUT_SIZE: str(last["size"])})
    corpora = "; ".join(f"{corpus.name} ({corpus.licence})" for corpus in facts.corpora)
    bound = [corpus.name for corpus in facts.corpora if not corpus.shippable]
    rights = (
        f"Trained on {', '.join(bound)}: the weights may be used only as that licence allows, and not be passed on."
        if bound
        else "No BFM, no FLAME: the weights may be used and passed on by anyone."
    )
    figures = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in last.items() if name in _FIGURES)
    sees = ", on the fitted face model" if network.fitted else ""
    card = f"""# Face depth weights

- Network: `mvgen.depth.network.FaceDepthNetwork` (ResNet-18 encoder, Table I decoder{sees}), fp16
- sha256: `{file_digest(target)}`
- Made by: `mvgen train-depth`, with the settings below, in {facts.minutes:.0f} minutes on {facts.device}
- Started from: {f"weights with sha256 `{facts.start}`" if facts.start else "nothing"}
- Data: {facts.training} rendered pictures to train on, {facts.validation} of other people to validate on, of
  {corpora}. {rights}
- Validation, people it never saw; percent of the inter-ocular distance: {figures}
- Limits: made for faces within about 20 degrees of frontal; hands, masks and other
  things in front of a face were not in the data.

```yaml
{yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).strip()}
```
"""
    (out / "face_depth.md").write_text(card, encoding="utf-8")
    return target
