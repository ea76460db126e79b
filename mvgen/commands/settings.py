"""Command line flags of build settings: types, defaults and help come from the config."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer

from mvgen.core.settings import SETTINGS

Command = TypeVar("Command", bound=Callable[..., int])


def takes_settings(*names: str, **helps: str) -> Callable[[Command], Command]:
    """Add options for settings to a command whose last parameter is `**flags`; without names, for all settings.

    names : flags with underscores; helps : further flags, each with another help text
    A flag that is not given is None; `core.settings.by_part` makes settings of them.
    """

    def add(command: Command) -> Command:
        # Typer does not evaluate the annotations of a replaced signature.
        own = inspect.signature(command, eval_str=True)
        options = [_option(name, helps.get(name)) for name in (*names, *helps) or SETTINGS]
        kept = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
        parameters = sorted([*options, *kept], key=lambda each: each.kind)
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return command

    return add


def _option(name: str, help_text: str | None) -> inspect.Parameter:
    setting = SETTINGS[name]
    field = setting.field
    shown = "" if field.default is None else f"  [default: {field.default}]"
    choices = "|".join(get_args(field.annotation)) if get_origin(field.annotation) is Literal else None
    text = help_text or f"{field.description}{shown}"
    option = typer.Option(f"--{setting.flag}", help=text, show_default=False, metavar=choices)
    kind = _read_as(field.annotation) | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _read_as(annotation: Any) -> Any:
    """The type that the command line parses before the config validates it."""
    if NoneType in get_args(annotation):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return str if get_origin(annotation) is Literal or Ellipsis in get_args(annotation) else annotation
