"""Kill commands, fill disks, flip bytes and feed hostile files, at random from a seed, for so many minutes.

    python benchmarks/robustness/soak.py --minutes 30 --seed 1 --out soak.json

Builds, shards, merges, refines, publications, rebuilds, reports and departures of a small dataset. Most take their
clips from one that the networks made before, so that a case takes a moment; a few run the networks. `--case N` repeats
one case. After each case: a store that was resumed has the bytes of one that nothing happened to; nothing outside the
folders that the command may change was written, the source included; no traceback; nothing runs on; a command that
refuses has lost no file; `verify` finds flipped bytes. Disks are small ones of its own, in a mount namespace; where
there are none, a limit on the size of files stands for them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import mvgen.cli
from benchmarks.common import Report, command_line, run_script
from benchmarks.robustness import soak_hostile as hostile
from benchmarks.robustness.soak_processes import end_child, in_child, kill_alone, kill_group, waited
from benchmarks.robustness.soak_world import COMMANDS, Command, patch, prepare, snapshot, write_source
from mvgen.core.errors import ConfigError

ACTS = {"kill": 0.17, "disk": 0.05, "flip": 0.10, "store": 0.42, "source": 0.16, "settings": 0.10}
PROBLEMS = ("not the same", "lost", "outside", "traceback", "hang", "unclear", "not found")
RESULTS = "results.jsonl"
_NAMESPACE = "MVGEN_SOAK_NAMESPACE"
_LOADED = ("mvgen.", "cv2.", "jinja2.", "numpy.", "PIL.", "pyarrow.", "pydantic.", "safetensors.", "scipy.")
_HANG = 240.0  # seconds that no command takes, on a busy machine either
_MEMORY = 24 << 30  # address space of a command, bytes


@dataclass
class End:
    """How a command ended. code : None where it was killed, for taking too long or because it was meant to be"""

    code: int | None
    said: str
    hung: bool = False
    left: bool = False

    @property
    def fell(self) -> bool:
        """Whether it showed a traceback."""
        return "Traceback (most recent call last)" in self.said or "Exception ignored in" in self.said


@dataclass
class World:
    """What cases start from. expected, seconds : of every command that nothing happened to"""

    folder: Path
    namespace: bool
    networks: bool
    expected: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def built(self) -> Path:
        return self.folder / "built.pickle"

    def result(self, command: str, folder: str) -> Path:
        """A folder as a command left it."""
        return self.folder / command.replace(" ", "-") / folder

    def commands(self) -> list[Command]:
        """Those that may be drawn."""
        return [command for command in COMMANDS.values() if self.networks or not command.real]

    def stamp(self) -> dict[str, tuple[int, int, int]]:
        """Of every file, what changes when it is written."""
        stats = {path: path.lstat() for path in sorted(self.folder.rglob("*"))}
        return {str(path): (one.st_ino, one.st_size, one.st_mtime_ns) for path, one in stats.items()}


class Case:
    """One case: a folder that a command works in, other files beside it, and what went wrong."""

    def __init__(self, world: World, folder: Path, seed: int, number: int) -> None:
        self.world, self.number = world, number
        self.rng = Random(f"{seed} {number}")
        # Paths that lead up some folders still end within `outer`.
        self.outer, self.folder = folder / "outer", folder / "outer" / "a" / "b"
        self.beside, self.log = self.folder / "beside", folder / "log"
        shutil.rmtree(folder, ignore_errors=True)
        (self.beside / "home").mkdir(parents=True)
        (self.beside / "canary").write_text("mine")
        self.command: Command = COMMANDS["verify"]
        self.act = ""
        self.told = ""
        self.counts: Counter[str] = Counter()
        self.problems: list[tuple[str, str]] = []

    def run(self) -> None:
        """Draw an act, and do it."""
        self.act = self.rng.choices(list(ACTS), list(ACTS.values()))[0]
        before = self.world.stamp()
        getattr(self, f"_{self.act}")()
        changed = sorted(name for name, at in self.world.stamp().items() if before.get(name) != at)
        if changed or len(before) != len(self.world.stamp()):
            self.wrong("outside", f"of another case: {changed[:3]}")

    def wrong(self, kind: str, words: str) -> None:
        """Note a problem."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        last = lines[-1][-300:] if lines else ""
        self.problems.append((kind, f"{words}{': ' if words else ''}{last}"))

    def start(self, command: Command) -> None:
        """Lay out what a command starts from."""
        self.command = command
        for folder, (name, its) in command.start.items():
            shutil.copytree(self.world.result(name, its), self.folder / folder, symlinks=True, dirs_exist_ok=True)

    def do(self, words: list[str], seconds: float = _HANG, kill: Callable[[int], None] | None = None) -> End:
        """Run `mvgen`; past `seconds` it is killed, which without `kill` means that it hangs."""
        self.log.write_text("")  # it may be killed before it has one
        limit, real = None if kill or self.world.namespace or self.act != "disk" else self.limit, self.command.real

        def work() -> int:
            patch(self.world.built, real)
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            return mvgen.cli.run(words)

        pid = in_child(work, self.log, self.beside / "home")
        code, left = waited(pid, seconds, kill)
        end = End(code, self.log.read_text(errors="replace"), code is None and kill is None, left)
        if end.hung or end.left:
            self.wrong("hang", "a process stays" if end.left else " ".join(words[:3]))
        if end.fell:
            self.wrong("traceback", words[0])
        elif code is not None and code not in (0, 1, 2):
            self.wrong("traceback", f"{words[0]} ended with {code}")
        return end

    limit: int | None = None

    def around(self) -> dict[str, str]:
        """Everything but what the command may change."""
        return snapshot(self.outer, [self.folder / name for name in self.command.changes])

    def within(self) -> dict[str, str]:
        """What the command may change."""
        found = {name: snapshot(self.folder / name) for name in self.command.changes}
        return {f"{name}/{path}": value for name, files in found.items() for path, value in files.items()}

    def check_around(self, before: Mapping[str, str]) -> None:
        """Note what was written beside."""
        after = self.around()
        changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        if changed:
            self.wrong("outside", str(changed[:3]))

    def check_same(self) -> None:
        """Note what differs from the same command that nothing happened to."""
        for name, files in self.world.expected[self.command.name].items():
            found = snapshot(self.folder / name)
            differing = sorted(path for path in {*found, *files} if found.get(path) != files.get(path))
            if differing:
                self.wrong("not the same", f"{name}: {differing[:3]}")

    # Acts

    def _kill(self) -> None:
        """Kill a command some times, then let it end."""
        commands = self.world.commands()
        chosen = self.rng.choices(commands, [0.15 if one.real else 0.5 if one.workers > 1 else 1 for one in commands])
        self.start(chosen[0])
        words, before = self.command.words(self.folder, self.world.root), self.around()
        kill = kill_alone if self.command.workers > 1 and self.rng.random() < 0.5 else kill_group
        moments = [
            self.rng.random() * self.world.seconds[self.command.name] for _ in range(self.rng.choice([1, 2, 3, 4]))
        ]
        for moment in moments:
            killed = self.do(words, moment, kill).code is None
            self.counts["kills"] += killed
            if not killed:
                break
        end = self.do(words)
        if end.code != 0:
            self.wrong("not the same", f"resumed, it ends with {end.code}")
        self.check_same()
        self.check_around(before)

    def _disk(self) -> None:
        """Run a command on a disk that is too small, then on a larger one."""
        self.start_on_disk(self.rng.choice([one for one in self.world.commands() if not one.name.startswith("verify")]))
        self.counts["full disks"] += 1
        words, before = self.command.words(self.folder, self.world.root), self.around()
        try:
            first = self.do(words)
            if first.code not in (0, None) and "no space left" not in first.said:
                self.wrong("unclear", "a full disk")
            self.limit = None
            self.grow()
            end = self.do(words)
            if end.code != 0:
                self.wrong("not the same", f"with more room, it ends with {end.code}")
            self.check_same()
        finally:
            self.unmount()
        self.check_around(before)

    def start_on_disk(self, command: Command) -> None:
        """Lay out a command's start, what it changes on a disk with room for a part of what it writes."""
        target, self.command = self.folder / command.changes[0], command
        target.mkdir(parents=True)
        before = _usage(self.world.result(*command.start[target.name])) if target.name in command.start else (0, 0)
        after = _usage(self.world.result(command.name, target.name))
        share = self.rng.random()
        pages, files = (int(a + max(b - a, 0) * share) for a, b in zip(before, after, strict=True))
        pages, files = pages + self.rng.choice([1, 4, 16]), files + self.rng.choice([2, 6])
        if self.world.namespace:
            options = f"size={4096 * pages}" if self.rng.random() < 0.7 else f"nr_inodes={files + 1}"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "disk", str(target)], check=True)
        else:
            self.limit = self.rng.choice([0, 100, 2000, 8000, 30000])
        try:
            self.start(command)
        except BaseException:
            self.unmount()
            raise

    def grow(self) -> None:
        """Make room."""
        if self.world.namespace:
            disk = str(self.folder / self.command.changes[0])
            subprocess.run(["mount", "-o", "remount,size=256m,nr_inodes=10000", disk], check=True)

    def unmount(self) -> None:
        """Take the disk away."""
        if self.world.namespace:
            subprocess.run(["umount", "--lazy", str(self.folder / self.command.changes[0])], check=True)

    def _flip(self) -> None:
        """Change bytes of a file that a command reads."""
        self.start(self.on_a_store())
        folder = self.folder / self.rng.choice(sorted(self.command.start))
        path = hostile.pick(folder, self.rng)
        assert path is not None
        hostile.flip(path, self.rng)
        self.told = name = path.relative_to(folder).as_posix()
        self.counts["flipped files"] += 1
        end = self.refused()
        if self.command.name.startswith("verify") and name.startswith(hostile.COVERED) and end.code == 0:
            self.wrong("not found", name)

    def _store(self) -> None:
        """Plant something hostile in a store, a part or a publication."""
        self.start(self.on_a_store())
        folder = self.folder / self.rng.choice(sorted(self.command.start))
        self.plant(lambda: hostile.plant_in_store(folder, self.beside, self.rng))
        self.refused()

    def on_a_store(self) -> Command:
        """A command that reads a store, a part or a publication; a build that goes on with one is among them."""
        again = replace(COMMANDS["build"], start={"out": ("build", "out")})
        part = replace(COMMANDS["build a shard"], start={"part1": ("build a shard", "part1")})
        return self.rng.choice([again, part, *(command for command in self.world.commands() if command.start)])

    def _source(self) -> None:
        """Plant something hostile in a source, and build or rebuild it."""
        self.start(self.rng.choice([COMMANDS["build"], COMMANDS["build"], COMMANDS["rebuild"]]))
        root = self.folder / "root"
        shutil.copytree(self.world.root, root)
        self.plant(lambda: hostile.plant_in_source(root, self.beside, self.rng))
        self.refused(root)

    def _settings(self) -> None:
        """Run a command with settings or options that nobody means well with."""
        self.counts["hostile inputs"] += 1
        if self.rng.random() < 0.6:
            self.start(COMMANDS["build"])
            path = self.beside / "settings.yaml"
            self.told = text = self.rng.choice(hostile.SETTINGS)
            path.write_text(text)
            self.refused(more=["--config", str(path)])
            return
        cell = self.rng.choice(hostile.CELLS).replace("\0", "")
        name, option = self.rng.choice(
            [("build", "--angles"), ("build", "--size"), ("build", "--test-share"), ("build", "--shard"),
             ("build", "--limit"), ("refine", "--threshold"), ("forget", "--subject"), ("forget", "--reason"),
             ("verify", "--sample"), ("publish parquet", "--i-have-permission"), ("publish parquet", "--creator"),
             ("publish a recipe", "--url"), ("rebuild", "--workers"), ("rebuild", "--annotations")]
        )  # fmt: skip
        self.told = f"{option}={cell}"
        self.start(COMMANDS[name])
        self.refused(more=[f"{option}={cell}"])

    def plant(self, work: Callable[[], str]) -> None:
        """Plant in a process of its own, because pyarrow keeps threads, and remember what."""
        told = self.beside / "planted"

        def write() -> int:
            told.write_text(work())
            return 0

        code, _ = waited(in_child(write, self.log, self.beside / "home"), _HANG)
        if code != 0:
            raise RuntimeError(f"case {self.number}: nothing was planted: {self.log.read_text()}")
        self.told = told.read_text()
        self.counts["hostile inputs"] += 1

    def refused(self, root: Path | None = None, more: list[str] | None = None) -> End:
        """Run the command on what was planted: it works, or refuses in words and leaves all where it was."""
        around, within = self.around(), self.within()
        end = self.do([*self.command.words(self.folder, root or self.world.root), *(more or [])])
        self.check_around(around)
        after = self.within()
        reads = self.command.name.startswith("verify")
        if reads and after != within:
            self.wrong("lost", f"{self.command.name} changed a store")
        removes = self.command.name.startswith(("forget", "build"))
        if end.code == 2 and not removes and (lost := sorted(set(within) - set(after))):
            self.wrong("lost", str(lost[:3]))
        failures = self.folder / "out" / "failures.jsonl"
        if self.act == "source" and failures.is_file() and "internal" in failures.read_text(errors="replace"):
            self.wrong("traceback", f"an internal error in failures.jsonl: {failures.read_text()[-300:]}")
        return end


def _usage(folder: Path) -> tuple[int, int]:
    """Pages and entries that a folder takes."""
    paths = list(folder.rglob("*"))
    return sum(-(-path.stat().st_size // 4096) for path in paths if path.is_file()), len(paths)


def make_world(folder: Path, namespace: bool, networks: bool) -> World:
    """The source, a clip by the networks, and every command's result."""
    world = World(folder, namespace, networks)
    folder.mkdir(parents=True)
    log, names = folder.parent / "log", folder.parent / "modules"

    def child(work: Callable[[], int]) -> None:
        code, _ = waited(in_child(work, log, folder.parent), 4 * _HANG)
        if code != 0:
            raise ConfigError(f"the soak cannot begin:\n{log.read_text()}")

    def make_clip() -> int:
        write_source(world.root)
        prepare(world.root, world.built)
        return 0

    child(make_clip)
    for command in world.commands():
        place = world.result(command.name, "")
        place.mkdir()
        for name, (other, its) in command.start.items():
            shutil.copytree(world.result(other, its), place / name)

        def work(command: Command = command, place: Path = place) -> int:
            patch(world.built, command.real)
            code = mvgen.cli.run(command.words(place, world.root))
            names.write_text("\n".join({*(names.read_text().split() if names.exists() else ()), *sys.modules}))
            return code

        for again in range(2):  # the first one loads what later ones find loaded
            start = time.perf_counter()
            if again and (command.start or command.real or command.workers > 1):
                break
            if again:
                shutil.rmtree(place)
                place.mkdir()
            child(work)
            world.seconds[command.name] = time.perf_counter() - start
            load(names.read_text().split())
        world.expected[command.name] = {name: snapshot(place / name) for name in command.changes}
    return world


def load(names: list[str]) -> None:
    """Import modules that a command has imported and that start no thread, so that every later one finds them."""
    for name in sorted(names):
        if name not in sys.modules and name.startswith(_LOADED):
            with suppress(ImportError):
                importlib.import_module(name)
    if threading.active_count() > 1:
        raise ConfigError(f"this process cannot fork: {[one.name for one in threading.enumerate()]}")


def work_on(world: World, folder: Path, seed: int, numbers: range, until: float) -> None:
    """Do cases until the time is over, a line of JSON for each."""
    with (folder / RESULTS).open("a") as file:
        for number in numbers:
            if time.monotonic() >= until:
                return
            case, start = Case(world, folder / "case", seed, number), time.perf_counter()
            case.run()
            found = {
                "case": number, "act": case.act, "command": case.command.name, "told": case.told,
                "counts": case.counts, "problems": case.problems, "seconds": round(time.perf_counter() - start, 2),
            }  # fmt: skip
            print(json.dumps(found), file=file, flush=True)
            for kind, words in case.problems:
                print(f"case {number}, {case.act}, {case.command.name}, {case.told!r}: {kind}: {words}", flush=True)


def table(lines: list[dict[str, Any]]) -> tuple[list[str], list[list[str | int]]]:
    """A row for each command, and one for all: what happened to it, and the problems of each kind."""
    counted = ("kills", "full disks", "flipped files", "hostile inputs")
    header = ["command", "cases", *counted, *PROBLEMS]
    rows: dict[str, Counter[str]] = {name: Counter() for name in (*COMMANDS, "all")}
    for line in lines:
        for name in (line["command"], "all"):
            rows[name] += Counter(line["counts"]) + Counter(cases=1)
            rows[name] += Counter(kind for kind, _ in line["problems"])
    return header, [[name, *(row[column] for column in header[1:])] for name, row in rows.items() if row]


def soak(chosen: argparse.Namespace, folder: Path, namespace: bool) -> None:
    """Make what is needed, let the jobs do their cases, and print the counts."""
    world = make_world(folder / "world", namespace, chosen.networks)
    report = Report(__file__, chosen, "disks of its own" if namespace else "a limit on files in place of disks")
    until = time.monotonic() + 60 * chosen.minutes
    jobs = 1 if chosen.case is not None else chosen.jobs
    pids = []
    for job in range(jobs):
        numbers = range(job, 1 << 40, jobs) if chosen.case is None else range(chosen.case, chosen.case + 1)
        (folder / f"job{job}").mkdir()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                work_on(world, folder / f"job{job}", chosen.seed, numbers, until)
                end_child(0)
            except BaseException:
                traceback.print_exc()
                end_child(1)
        pids.append(pid)
    failed = [pid for pid in pids if os.waitpid(pid, 0)[1]]
    written = sorted(folder.glob(f"job*/{RESULTS}"))
    lines = [json.loads(line) for path in written for line in path.read_text().splitlines()]
    report.table(*table(lines))
    if failed:
        raise SystemExit("a job of the soak itself has failed")
    sys.exit(any(line["problems"] for line in lines))


def enter_namespace() -> bool:
    """Run this script again where it may mount disks; returns whether it may."""
    if _NAMESPACE in os.environ:
        return True
    line = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which(line[0]) is None or subprocess.run([*line, "true"], capture_output=True, check=False).returncode:
        return False
    os.environ[_NAMESPACE] = "1"
    sys.stdout.flush()
    os.execvp(line[0], [*line, sys.executable, *sys.argv])


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time")
    parser.add_argument("--case", type=int, help="do this one only")
    parser.add_argument("--no-networks", dest="networks", action="store_false", help="without builds by the networks")
    chosen = parser.parse_args()
    # A process with threads cannot be forked.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", TQDM_DISABLE="1")
    namespace = enter_namespace()
    with tempfile.TemporaryDirectory() as name:
        if namespace:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g", "work", name], check=True)
        try:
            soak(chosen, Path(name).resolve(), namespace)
        finally:
            if namespace:
                subprocess.run(["umount", "--lazy", name], check=True)


if __name__ == "__main__":
    run_script(main)
