"""Folder trees of the releases, and the folders of their clips."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mvgen.sources.base import subject_key


@dataclass(frozen=True, slots=True)
class Tree:
    """One of the folder trees of a release.

    names : names of its folder, the release's own first; case, spaces and punctuation are ignored
    variant : whether its frames are as filmed, or cropped to the face by the release
    subject : regular expression of a subject's folder
    long : whether folders contain whole videos; a clip is then an annotated span
    """

    names: tuple[str, ...]
    variant: Literal["raw", "cropped"]
    subject: str
    long: bool = False


@dataclass(frozen=True, slots=True)
class FoundTree:
    """A tree on disk. folder : contains the folders of the subjects"""

    tree: Tree
    folder: Path


def folders(folder: Path) -> tuple[Path, ...]:
    """Sub-folders without hidden ones, sorted by name."""
    return tuple(
        sorted((entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")), key=_name)
    )


def find_trees(root: Path, trees: Sequence[Tree], inside: bool = False) -> tuple[FoundTree, ...]:
    """Trees of a release below a root, in the order given. A doubled level (`Cropped/Cropped`) is skipped.

    inside : also accept the root itself as the first tree whose subject folders it contains
    """
    children = folders(root)
    found = []
    for tree in trees:
        for name in map(_plain, tree.names):
            for child in children:
                if _plain(child.name) == name and (place := _subjects_level(child, tree)):
                    found.append(FoundTree(tree, place))
    if inside and not found:
        named = [tree for tree in trees if _plain(root.name) in map(_plain, tree.names)]
        found = [FoundTree(tree, root) for tree in (*named, *trees) if _has_subjects(root, tree)][:1]
    return tuple(found)


def clip_folders(found: FoundTree) -> dict[tuple[str, str], Path]:
    """Folders of a tree by (subject key, folder name in lower case); the first one wins."""
    clips: dict[tuple[str, str], Path] = {}
    for subject in subject_folders(found):
        for folder in folders(subject):
            clips.setdefault((subject_key(subject.name), folder.name.strip().lower()), folder)
    return clips


def subject_folders(found: FoundTree) -> tuple[Path, ...]:
    """Subject folders of a tree."""
    return tuple(_matching(folders(found.folder), found.tree))


def _subjects_level(folder: Path, tree: Tree) -> Path | None:
    if _has_subjects(folder, tree):
        return folder
    return next((child for child in folders(folder) if _has_subjects(child, tree)), None)


def _has_subjects(folder: Path, tree: Tree) -> bool:
    return any(True for _ in _matching(folders(folder), tree))


def _matching(candidates: Iterable[Path], tree: Tree) -> Iterable[Path]:
    return (folder for folder in candidates if re.fullmatch(tree.subject, folder.name, re.IGNORECASE))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _name(path: Path) -> str:
    return path.name
