"""Registries of things chosen by name, such as renderers, each imported when it is first used.

Other packages add names by entry points. They are read only for a name that is not built in, and to list all
names, so that importing mvgen stays cheap.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mvgen.core.errors import MvgenError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """Objects that are chosen by name. Iterating gives every name, the built-in ones first.

    what : the word for one object in messages; error : raised for a name that cannot be used
    places : name -> the object, or where it is, as "package.module:Attribute"
    group : entry point group by which other packages add names; None where they cannot
    base : the class that added objects derive from; None takes any function
    """

    def __init__(
        self,
        what: str,
        error: type[MvgenError],
        places: Iterable[tuple[str, str | T]],
        *,
        group: str | None = None,
        base: type | None = None,
    ) -> None:
        self.what, self.error, self.group, self.base = what, error, group, base
        self._places: dict[str, str | T] = {}
        for name, place in places:
            self.add(name, place)

    def add(self, name: str, place: str | T) -> None:
        """Add a name, in this process only. Raises `error` when it is taken."""
        if name in self._places:
            raise self.error(f"{self.what} {name!r} is registered twice: {self._places[name]} and {place}")
        self._places[name] = place

    @property
    def built_in(self) -> tuple[str, ...]:
        """Names that do not come from entry points."""
        return tuple(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter((*self._places, *sorted(self._offers().keys() - self._places.keys())))

    def check(self, name: str) -> None:
        """Raise `error` for a name that is unknown, or that two packages add. Imports nothing."""
        self._offer(name)

    def get(self, name: str) -> T:
        """The object of a name. Raises `error` as `check` does, and for an unusable object of another package."""
        offer = self._offer(name)
        if offer is None:
            place = self._places[name]
            return _load(place) if isinstance(place, str) else place
        try:
            found: T = offer.load()
            fault = self._fault(name, found)
        except (Exception, SystemExit) as error:  # a foreign module may raise anything
            fault = f"{type(error).__name__}: {error}"
        if fault:
            raise self._unusable(name, offer, fault)
        return found

    def make(self, name: str, *arguments: Any) -> Any:
        """Call the object of a name. Raises as `get` does, and what the call raises."""
        factory: Any = self.get(name)
        try:
            return factory(*arguments)
        except Exception as error:
            offer = self._offer(name)
            if offer is None or isinstance(error, MvgenError):
                raise
            raise self._unusable(name, offer, f"{type(error).__name__}: {error}") from error

    def load_all(self) -> tuple[dict[str, T], list[str]]:
        """All usable objects by name, and messages about those that cannot be used."""
        found: dict[str, T] = {}
        problems = list(self._unreadable())
        for name, offers in self._offers().items():
            if name in self._places:
                problems += [f"{self._origin(name, offer)} is not used: the name is built in" for offer in offers]
        for name in self:
            try:
                found[name] = self.get(name)
            except self.error as error:
                problems.append(str(error))
        return found, problems

    def package(self, name: str) -> dict[str, str]:
        """Name -> version of the package that adds a name; empty for a built-in one. Raises as `check` does."""
        offer = self._offer(name)
        return {} if offer is None or offer.dist is None else {offer.dist.name: offer.dist.version}

    def _offer(self, name: str) -> EntryPoint | None:
        """The entry point of a name, None where it is built in."""
        if name in self._places:
            return None
        offers = self._offers().get(name, [])
        if len(offers) == 1:
            return offers[0]
        if offers:
            places = " and ".join(f"{offer.value} of package {_named(offer.dist)}" for offer in offers)
            raise self.error(f"{self.what} {name!r} is registered twice: {places}; uninstall one of them")
        known = list(self)
        close = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        problems = "".join(f". {problem}" for problem in self._unreadable())
        raise self.error(f"unknown {self.what} {name!r}; {hint}Known: {', '.join(known)}{problems}")

    def _offers(self) -> dict[str, list[EntryPoint]]:
        offers: dict[str, list[EntryPoint]] = {}
        for point in _entry_points(self.group, tuple(sys.path))[0] if self.group else ():
            offers.setdefault(point.name, []).append(point)
        return offers

    def _unreadable(self) -> tuple[str, ...]:
        return _entry_points(self.group, tuple(sys.path))[1] if self.group else ()

    def _unusable(self, name: str, offer: EntryPoint, fault: str) -> MvgenError:
        return self.error(f"{self._origin(name, offer)} cannot be used: {fault}; repair or uninstall the package")

    def _origin(self, name: str, offer: EntryPoint) -> str:
        return f"{self.what} {name!r} ({offer.value} of package {_named(offer.dist)})"

    def _fault(self, name: str, found: Any) -> str:
        """Why an added object does not fit the registry, in words; empty if it does."""
        if self.base is None:
            return "" if callable(found) else "it cannot be called"
        if not isinstance(found, type) or not issubclass(found, self.base):
            return f"it is not a class derived from {self.base.__module__}.{self.base.__name__}"
        constants = {
            constant
            for kind in found.__mro__
            for constant, hint in getattr(kind, "__annotations__", {}).items()
            if str(hint).startswith("ClassVar") and not hasattr(found, constant)
        }
        if missing := sorted(constants | getattr(found, "__abstractmethods__", set())):
            return f"it does not define {', '.join(missing)}"
        own = getattr(found, "name", name)
        return "" if own == name else f"it calls itself {own!r}"


def _load(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[tuple[EntryPoint, ...], tuple[str, ...]]:
    """Entry points of the installed packages, and messages about those that cannot be read.

    path : `sys.path`, the key of the cache
    """
    from importlib import metadata

    found: dict[str, tuple[EntryPoint, ...]] = {}
    problems = []
    for package in metadata.distributions():
        try:
            points = tuple(package.entry_points.select(group=group))
        except Exception as error:  # one damaged package must not hide the others
            problems.append(f"the entry points of package {_named(package)} cannot be read: {error}; reinstall it")
            continue
        if points:  # a package may be on the path twice: the first one is imported
            found.setdefault(_named(package).lower(), points)
    return tuple(point for points in found.values() for point in points), tuple(problems)


def _named(package: Distribution | None) -> str:
    return "without a name" if package is None else str(package.metadata["Name"])
