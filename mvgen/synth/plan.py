"""The plan of a stand-in: subjects, emotions, timing and names of its clips. No pixels here."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from mvgen.core.errors import ConfigError
from mvgen.synth.emotions import combinations, one_sided
from mvgen.synth.releases import Layout, get_layout

# A micro-expression lasts at most half a second, and hardly less than a sixth of one.
# Source: Yan et al. 2013, doi:10.1007/s10919-013-0159-8.
MICRO_SECONDS = (1 / 6, 0.5)
ONE_SIDED_SHARE = 0.25
MACRO_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """One clip of a stand-in.

    layout : the release whose layout it has; `subject`, `clip` : indices from 0
    subject_name, name : as in the release
    emotion : as in the release; `action_units` : those that show it, FACS numbers with L or R for one-sided ones
    onset, apex, offset : indices into the clip's frames, onset <= apex <= offset
    fps : frames per second
    numbers : frame numbers of the release; `names` : file names; `directory` : their folder relative to the root
    grey : one channel; `jpeg_quality` : on the scale of libjpeg
    macro : longer than half a second, where the release makes the distinction
    seed : of everything random in this clip; subject_seed : of what a subject's clips share, such as the background
    """

    layout: str
    subject: int
    subject_name: str
    clip: int
    name: str
    emotion: str
    action_units: tuple[str, ...]
    onset: int
    apex: int
    offset: int
    fps: float
    numbers: tuple[int, ...]
    directory: PurePosixPath
    names: tuple[str, ...]
    grey: bool
    jpeg_quality: int
    macro: bool
    seed: int
    subject_seed: int

    @property
    def span(self) -> tuple[int, int, int]:
        """Frame numbers of onset, apex and offset, as in the release."""
        return self.numbers[self.onset], self.numbers[self.apex], self.numbers[self.offset]


def plan_release(
    layout: str, subjects: int, clips: int, frames: int | None = None, seed: int = 0
) -> tuple[ClipPlan, ...]:
    """Plan a stand-in.

    subjects : how many people; clips : clips of each; frames : frames of each clip, the layout's default if None
    Returns the plans by subject, then clip. Emotions have the proportions of the release, with each 3-class label at
    least once where there are three clips or more. Raises ConfigError for counts that are too small.
    """
    rules = get_layout(layout)
    rules = rules if frames is None else replace(rules, frames=frames)
    if subjects < 1 or clips < 1:
        raise ConfigError(f"a stand-in needs at least one subject and one clip, not {subjects} and {clips}")
    if rules.frames < 3:
        raise ConfigError(f"a clip needs at least 3 frames for onset, apex and offset, not {rules.frames}")
    rng = np.random.default_rng([_stable(layout), seed])
    words = _shares(rules, subjects * clips)
    words = [words[index] for index in rng.permutation(len(words))]
    plans = []
    for subject in range(subjects):
        used: Counter[str] = Counter()
        for clip in range(clips):
            plans.append(_plan_clip(rules, (subject, clip), words[subject * clips + clip], seed, used))
    return tuple(plans)


def _plan_clip(rules: Layout, place: tuple[int, int], emotion: str, seed: int, used: Counter[str]) -> ClipPlan:
    layout, frames = rules.name, rules.frames
    subject, clip = place
    own_seed = _stable(f"{layout}/{seed}/{subject}/{clip}")
    rng = np.random.default_rng(own_seed)
    subject_name = rules.subjects(subject)
    macro = rules.macros and frames > 2 * MICRO_SECONDS[1] * rules.fps and rng.random() < MACRO_SHARE
    onset, apex, offset = _timing(rules, macro, rng)
    named = rules.name_clip(subject_name, emotion, rng, used)
    known = combinations(named.performed)
    units = known[0 if rng.random() < 0.6 else rng.integers(len(known))]
    if rng.random() < ONE_SIDED_SHARE:
        units = one_sided(units, "L" if rng.random() < 0.5 else "R")
    first = int(rng.integers(*rules.first_number))
    numbers = tuple(range(first, first + frames))
    names = [rules.file_name(subject_name, named.name, number) for number in numbers]
    if rules.doubled_suffix and place == (0, 0):
        names[-1] += ".jpg"
    return ClipPlan(
        layout=layout,
        subject=subject,
        subject_name=subject_name,
        clip=clip,
        name=named.name,
        emotion=emotion,
        action_units=units,
        onset=onset,
        apex=apex,
        offset=offset,
        fps=rules.fps,
        numbers=numbers,
        directory=named.directory,
        names=tuple(names),
        grey=rules.grey,
        jpeg_quality=rules.jpeg_quality,
        macro=macro,
        seed=own_seed,
        subject_seed=_stable(f"{layout}/{seed}/{subject}"),
    )


def _timing(rules: Layout, macro: bool, rng: np.random.Generator) -> tuple[int, int, int]:
    """Onset, apex and offset as frame indices; the rise is a little quicker than the fall."""
    last = rules.frames - 1
    if rules.cut:
        length = last
    else:
        shortest, longest = (MICRO_SECONDS[1], 4.0) if macro else MICRO_SECONDS
        # Durations are in frame steps: n + 1 frames last n steps.
        low = min(last, max(2, math.ceil(shortest * rules.fps) + (1 if macro else 0)))
        high = min(last, math.floor(longest * rules.fps))
        low = max(low, math.ceil(0.6 * high))
        length = int(rng.integers(min(low, high), high + 1))
    onset = int(rng.integers(0, last - length + 1))
    rise = int(np.clip(round(float(rng.uniform(0.35, 0.6)) * length), 1, length - 1))
    return onset, onset + rise, onset + length


def _shares(rules: Layout, total: int) -> list[str]:
    """`total` emotions in the proportions of the release (largest remainders), every 3-class label among them."""
    whole = sum(rules.emotions.values())
    exact = {word: total * count / whole for word, count in rules.emotions.items()}
    counts = {word: math.floor(share) for word, share in exact.items()}
    by_remainder = sorted(exact, key=lambda word: (counts[word] - exact[word], -rules.emotions[word], word))
    for word in by_remainder[: total - sum(counts.values())]:
        counts[word] += 1
    for label in ("negative", "positive", "surprise"):
        members = [word for word in rules.emotions if rules.labels.get(word) == label]
        if total < 3 or not members or any(counts[word] for word in members):
            continue
        held: Counter[str] = Counter()
        for word, count in counts.items():
            held[rules.labels.get(word, "none")] += count
        # Taken from the most frequent emotion, but never the last clip of another label.
        givers = [w for w in counts if counts[w] and (w not in rules.labels or held[rules.labels[w]] > 1)]
        counts[max(givers, key=lambda word: counts[word])] -= 1
        counts[max(members, key=lambda word: rules.emotions[word])] += 1
    return [word for word, count in counts.items() for _ in range(count)]


def _stable(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")
