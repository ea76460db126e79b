"""What the soak works on: a small source, stores, shards, publications, and the commands that change them.

The clips are what the real networks made of one photograph, once, and a build takes them from there. So a build takes a
moment, and what it writes is sound to `mvgen verify` and `publish`.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from mvgen.core.config import BuildConfig
from mvgen.core.errors import ClipError
from mvgen.core.records import BuiltClip, Clip, ViewClip
from mvgen.core.settings import by_part
from mvgen.core.stopwatch import Stopwatch
from mvgen.pipeline.stages import PipelineStages
from mvgen.sources.frames import read_frames

FRAMES = 3
SETTINGS = {"dataset": "folder", "angles": "-20", "size": 64, "registration": "none", "test_share": 0.34}
CLIPS = ("s1/clip1", "s1/clip2", "s2/clip1", "s3/clip1")
WORDS = "Prof. X, letter of 3 May 2026, for project Y"


@dataclass(frozen=True)
class Replay(PipelineStages):
    """The stages of a build whose networks have run before. built : a pickled `BuiltClip`"""

    built: Path

    def software(self, config: BuildConfig) -> dict[str, str | None]:
        return {"replay": "1"}

    def observer(self, config: BuildConfig) -> Callable[[Clip], str]:  # type: ignore[override]
        return lambda clip: clip.id

    def fit_attention(self, observed: Sequence[str], config: BuildConfig) -> bytes:  # type: ignore[override]
        return "\n".join(observed).encode()

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        built: BuiltClip = pickle.loads(self.built.read_bytes())

        def build_one(clip: Clip, clock: Stopwatch) -> BuiltClip:
            if len(read_frames(clip)) != FRAMES:
                raise ClipError("face", f"the soak's clips have {FRAMES} frames")
            lighter = zlib.crc32(clip.id.encode()) % 16
            views = [replace(view, colour=np.clip(view.colour, 0, 240) + np.uint8(lighter)) for view in built.views()]
            listed = replace(clip, apex=clip.frames[1].number) if clip.apex is None else clip
            return replace(built, clip=listed, frontal=views[0], sides=views[1:])

        return build_one


def write_source(root: Path) -> None:
    """A photograph three times, its mouth a little moved, under the name of each clip; and a table."""
    from skimage.data import astronaut

    photograph = astronaut()[:320, 60:380]
    for clip in CLIPS:
        (root / clip).mkdir(parents=True)
        for number in range(FRAMES):
            frame = photograph.copy()
            frame[130:150, 140 + number : 180 + number] = photograph[130:150, 140:180]
            Image.fromarray(frame).save(root / clip / f"img{number + 1}.jpg", quality=95)
    rows = [f"{clip},{clip[:2]},happiness,1,2,3" for clip in CLIPS]
    (root / "labels.csv").write_text("\n".join(["clip,subject,emotion,onset,apex,offset", *rows]) + "\n")


def prepare(root: Path, built: Path) -> None:
    """Let the networks make one clip of the source, and keep it."""
    config = BuildConfig.model_validate(by_part({**SETTINGS, "root": root, "out": built.parent}))
    stages, head = PipelineStages(), built.with_suffix(".safetensors")
    clip: Clip = stages.read(config).clips[0]
    observed = stages.observer(config)(clip)
    assert observed is not None
    head.write_bytes(stages.fit_attention([observed], config))
    found = stages.builder(config, head)(clip, Stopwatch())
    sides: list[ViewClip] = list(found.sides)
    built.write_bytes(pickle.dumps(replace(found, sides=sides)))


@dataclass(frozen=True)
class Command:
    """A command line in a case's folder.

    line : {case}, {root} and {world} stand for folders
    start : folder in the case -> name of the command whose result it is a copy of, and the folder of it
    changes : folders that it may change; the first one is the result
    real : by the real networks
    """

    name: str
    line: str
    start: dict[str, tuple[str, str]]
    changes: tuple[str, ...]
    real: bool = False
    workers: int = 1

    def words(self, case: Path, root: Path) -> list[str]:
        """The arguments of `mvgen`."""
        places = {"case": str(case), "root": str(root)}
        words = [word.format(**places) for word in self.line.split()]
        return [*words, "--i-have-permission", WORDS] if "--pixels" in words else words


_BUILD = (
    "build --dataset folder --root {root} --out {case}/OUT --angles=-20 --size 64 --registration none "
    "--test-share 0.34 --attempts 1 --clip-timeout 0"
)


def _commands() -> list[Command]:
    def build(name: str, more: str = "", out: str = "out", **about: object) -> Command:
        return Command(name, _BUILD.replace("OUT", out) + more, {}, (out,), **about)  # type: ignore[arg-type]

    whole = {"out": ("build", "out")}
    videos = {"out": ("build videos", "out")}
    parts = {"part1": ("build a shard", "part1"), "part2": ("build another shard", "part2")}
    publish = "publish {case}/out --to {case}/published"
    return [
        build("build"),
        build("build videos", " --format mkv"),
        build("build in 2 workers", " --workers 2", workers=2),
        build("build with networks", real=True),
        build("build a shard", " --shard 1/2", "part1"),
        build("build another shard", " --shard 2/2", "part2"),
        Command("merge", "merge {case}/part1 {case}/part2 --out {case}/out", parts, ("out", "part1", "part2")),
        Command("refine", "refine {case}/out --threshold 0.99", whole, ("out",)),
        Command("forget", "forget {case}/out --subject s1", whole, ("out",)),
        Command("report", "report {case}/out", whole, ("out",)),
        Command("verify", "verify {case}/out", whole, ("out",)),
        Command("verify videos", "verify {case}/out", videos, ("out",)),
        Command("report videos", "report {case}/out", videos, ("out",)),
        Command("forget from videos", "forget {case}/out --subject s1", videos, ("out",)),
        Command("publish videos", f"{publish} --pixels", videos, ("published",)),
        Command("publish a recipe", f"{publish} --recipe", whole, ("published",)),
        Command("publish parquet", f"{publish} --pixels", whole, ("published",)),
        Command("publish webdataset", f"{publish} --pixels --format webdataset", whole, ("published",)),
        Command(
            "rebuild", "rebuild {case}/published --root {root} --out {case}/out",
            {"published": ("publish a recipe", "published")}, ("out",),
        ),
        Command(
            "forget a publication", "forget {case}/published --subject s1",
            {"published": ("publish parquet", "published")}, ("published",),
        ),
        Command(
            "forget in webdataset", "forget {case}/published --subject s1",
            {"published": ("publish webdataset", "published")}, ("published",),
        ),
    ]  # fmt: skip


# Each after those whose results it starts from.
COMMANDS = {command.name: command for command in _commands()}


def patch(built: Path, real: bool) -> None:
    """Let builds of this process take their clips from `built`, or from the networks."""
    import mvgen.building.build
    import mvgen.publish.rebuild

    for module in (mvgen.building.build, mvgen.publish.rebuild):
        module._real_stages = PipelineStages if real else lambda: Replay(built)  # type: ignore[assignment]


def snapshot(folder: Path, without: Sequence[Path] = ()) -> dict[str, str]:
    """Every file, link and pipe of a folder and a digest of each, but for some folders; nothing is followed."""
    found: dict[str, str] = {}
    for here, folders, files in os.walk(folder):
        place = Path(here)
        folders[:] = [name for name in folders if place / name not in without]
        for path in [place / name for name in (*files, *folders)]:
            if path in without:
                continue
            kind = path.lstat().st_mode
            if stat.S_ISREG(kind):
                about = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                about = f"link to {os.readlink(path)}" if stat.S_ISLNK(kind) else oct(stat.S_IFMT(kind))
            found[path.relative_to(folder).as_posix()] = about
    return found
