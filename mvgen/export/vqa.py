"""Questions and answers about expressions, one JSON object a line, as the ME-VQA task of MEGC 2025 and 2026 has them.

    OUT/me_vqa_<dataset>.jsonl

`dataset`, `image_id`, `subject`, `filename`, `question` and `answer` are called as there; ours are `view`, `video` (the
folder of the frames, below the store), and `onset`, `apex`, `offset`, positions in the sorted frames from 0. Questions
whose answer the release does not tell are not asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from mvgen.core.errors import ConfigError
from mvgen.dataset.units import unit_words
from mvgen.export.base import Exported, file_stem, whole_folder
from mvgen.store.manifest import ViewRow


def write_vqa(exported: Exported, out: Path) -> int:
    """Write the questions; their number is returned. Raises ConfigError where no clip has a label."""
    lines = [json.dumps(line, ensure_ascii=False) for row in exported.rows for line in _lines(row)]
    if not lines:
        raise ConfigError(f"{exported.root} has no clip with a label to ask for")
    with whole_folder(out, exported, "vqa") as folder:
        name = exported.rows[0].dataset.replace("-", "_")
        (folder / f"me_vqa_{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return len(lines)


def questions(row: ViewRow) -> Iterator[tuple[str, str]]:
    """Questions about a clip and their answers, from its labels."""
    if row.label is not None:
        yield "What is the coarse expression class?", row.label
    if row.emotion:
        yield "What is the fine-grained expression class?", row.emotion.lower()
    if row.kind is not None:
        yield "Is it a micro-expression or a macro-expression?", f"{row.kind}-expression"
    units = list(dict.fromkeys(map(unit_words, row.action_units)))
    if units:
        yield ("What is the action unit?" if len(units) == 1 else "What are the action units?"), ", ".join(units)
        yield "How many action units are shown on the face?", str(len(units))


def _lines(row: ViewRow) -> Iterator[dict[str, object]]:
    for question, answer in questions(row):
        yield {
            "dataset": row.dataset,
            "image_id": file_stem(row),
            "subject": row.subject,
            "filename": row.name,
            "view": row.view,
            "video": row.video or row.frames_directory,
            "onset": row.onset_index,
            "apex": row.apex_index,
            "offset": row.offset_index,
            "question": question,
            "answer": answer,
        }
