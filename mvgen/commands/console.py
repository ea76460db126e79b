"""Progress and summary of a build: plain lines where the output is not a terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from mvgen.building.build import Summary
from mvgen.building.work import Progress
from mvgen.core.console import print_table
from mvgen.store import layout
from mvgen.store.manifest import Failure

_PLAIN_SECONDS = 10.0  # between lines without a terminal


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} frames/s" if task.speed else "")


class BuildProgress(Progress):
    """Shows a build's progress on stderr, by frames: clips may differ much in length."""

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose
        self.console = Console(stderr=True, highlight=False)
        self.bar: Bar | None = None
        self.total = self.done = self.frames = self.frames_done = 0
        self.frames_of: Mapping[str, int] = {}
        self.began = self.printed = time.monotonic()

    def __enter__(self) -> BuildProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()

    def note(self, text: str) -> None:
        self.console.print(escape(text), soft_wrap=True)

    def start(self, total: int, done: int, frames: Mapping[str, int]) -> None:
        self.total, self.done = total, done
        self.frames_of, self.frames = frames, sum(frames.values())
        self.began = self.printed = time.monotonic()
        if done:
            self.note(f"resuming: {done} of {total} clips are already built")
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
            )
            self.bar = Bar(*columns, console=self.console)
            self.bar.add_task(self._clips(), total=self.frames)
            self.bar.start()

    def advance(self, clip: str, failure: Failure | None, trace: str | None) -> None:
        self.done += 1
        self.frames_done += self.frames_of.get(clip, 0)
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], description=self._clips(), completed=self.frames_done)
        if failure is not None:
            self.note(f"{clip}: {failure.stage}: {failure.reason}")
        elif self.verbose:
            self.note(f"{clip}: built")
        if trace and self.verbose:
            self.note(trace.rstrip())
        if self.bar is None and (time.monotonic() - self.printed > _PLAIN_SECONDS or self.done == self.total):
            self.printed = time.monotonic()
            rate = self.frames_done / max(self.printed - self.began, 1e-9)
            left = (self.frames - self.frames_done) / max(rate, 1e-9)
            frames = f"{self.frames_done} of {self.frames} frames, {rate:.1f} frames/s"
            self.note(f"{self._clips()}, {frames}, {left:.0f} s left")

    def _clips(self) -> str:
        return f"{self.done} of {self.total} clips"


def print_summary(summary: Summary) -> None:
    """Print the table at the end of a build."""
    if summary.nothing_to_do:
        print(f"{summary.out} is already finished: nothing to do.")
    rows = [
        ("clips", f"{summary.clips}" + (f" ({summary.built} in this run)" if not summary.nothing_to_do else "")),
        ("views", str(summary.views)),
        ("kept", str(summary.kept)),
        ("failures", str(len(summary.failures))),
    ]
    by_stage = Counter(failure.stage for failure in summary.failures)
    for stage, count in sorted(by_stage.items()):
        first = next(failure for failure in summary.failures if failure.stage == stage)
        rows.append((f"  {stage}", f"{count}, first: {first.clip}: {first.reason}"))
    total = sum(summary.seconds.values())
    for stage, seconds in sorted(summary.seconds.items(), key=lambda entry: -entry[1]):
        rows.append((f"time in {stage}", f"{seconds:.1f} s ({seconds / total:.0%})"))
    if summary.wall:
        rows.append(("wall time", f"{summary.wall:.1f} s"))
    print_table(("", "build"), rows)
    if summary.failures:
        print(f"failures:      {summary.out / layout.FAILURES}")
