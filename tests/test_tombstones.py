"""What a store remembers of those who have left."""

from __future__ import annotations

from pathlib import PurePosixPath

from mvgen.forget.tombstones import Leavers, bury, unite

REASON = "consent was withdrawn"


def test_whose_clip_it_was_is_told_by_its_folder_or_by_the_table() -> None:
    stones = [bury("fake", "7", "salt", REASON)]
    known = [("a__s7__1", PurePosixPath("a/s7/1"), "7"), ("a__s8__s7", PurePosixPath("a/s8/s7"), "8")]
    who = Leavers(stones, "fake", known)
    clips = ("a__s7__lost", "a__s8__7", "a__s07__x", "a__s8__s7", "s7")
    assert [who.left_clip(clip) for clip in clips] == [True, False, True, False, False]
    named = Leavers(stones, "fake", [("x__1", PurePosixPath("x/1"), "7")], {"y__2": "7", "z__7": "8"})
    assert [named.left_clip(clip) for clip in ("y__2", "z__7", "w__1")] == [True, False, False]
    assert not Leavers(stones, "other", known).left("7")


def test_tombstones_of_two_stores_are_united() -> None:
    one, other = bury("fake", "7", "salt", "b"), bury("fake", "8", "salt", "c")
    again = bury("fake", "7", "salt", "a")
    assert unite([one, other], [again]) == tuple(sorted([again, other])) == unite([again], [other, one])
