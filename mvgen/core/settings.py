"""The settings of a build by name: as flags, in YAML files, and in a store's description."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from keyword import iskeyword
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from mvgen.core.config import WEIGHTS, BuildConfig
from mvgen.core.errors import ConfigError
from mvgen.core.files import find_config, read_regular, reason_of

_MOST_YAML = 1 << 20  # bytes
_DEEPEST_YAML = 16
_MOST_VALUES = 100_000


class Setting(NamedTuple):
    """One setting: its part of the config, its name there, its flag without leading dashes, and its field."""

    part: str
    name: str
    flag: str
    field: FieldInfo

    @property
    def path(self) -> str:
        """Its name in files: `camera.size`."""
        return f"{self.part}.{self.name}"


def _settings() -> list[Setting]:
    found = []
    for part, whole in BuildConfig.model_fields.items():
        assert whole.annotation is not None
        for name, field in whole.annotation.model_fields.items():
            extra = field.json_schema_extra
            flag = str(extra["flag"]) if isinstance(extra, dict) else name.replace("_", "-")
            found.append(Setting(part, name, flag, field))
    return found


def _parameter(flag: str) -> str:
    """A flag as the name of a parameter: with underscores, and one more where Python has the word itself."""
    name = flag.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


# Every setting, by its flag as a parameter; before settings had parts, this was also its name in files.
SETTINGS = {_parameter(setting.flag): setting for setting in _settings()}


def by_part(flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Values of flags (with underscores) by part: part -> name -> value. None is a flag not given."""
    parts: dict[str, dict[str, Any]] = {}
    for flag, value in flags.items():
        if value is not None:
            parts.setdefault(SETTINGS[flag].part, {})[SETTINGS[flag].name] = value
    return parts


class _Loader(yaml.SafeLoader):
    """YAML without base-60 numbers: `-45:45:10` is a sweep, not minus 164,710."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def load_config(path: Path | None, overrides: Mapping[str, Any]) -> BuildConfig:
    """Read settings from a YAML file; `overrides` take precedence.

    path : YAML with the parts and names of BuildConfig, or a name of `mvgen configs`, or None
    overrides : part -> name -> value, see `by_part`
    Raises ConfigError naming the file, the setting and the nearest known one.
    """
    where = f"config file {path}" if path else "settings"
    parts = {} if path is None else read_yaml(find_config(path, "config file"), "config file", _Loader)
    for given in (parts, overrides):
        _check_names(given, where)
    try:
        config = BuildConfig.model_validate(_merged(parts, overrides))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{where}: {problems}") from None
    for part, name in WEIGHTS:
        weights = getattr(getattr(config, part), name)
        if weights is not None and not weights.is_file():
            raise ConfigError(f"{where}: {part}.{name}: {weights} does not exist")
    return config


def from_identity(identity: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> BuildConfig:
    """The settings that `BuildConfig.identity` gave; `overrides` take precedence. Raises ConfigError for unknown ones.

    It has the digests of weights, not their paths: without an override they are those shipped with mvgen.
    """
    _check_names(identity, "settings")
    given = overrides or {}
    for part, name in WEIGHTS:
        given = _merged({part: {name: None}}, given)
    return load_config(None, _merged(identity, given))


def _merged(parts: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {part: {**(parts.get(part) or {}), **(others.get(part) or {})} for part in {**parts, **others}}


def read_yaml(path: Path, what: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> dict[str, Any]:
    """The mapping in a YAML file, empty for an empty file.

    what : the file is, for messages
    Raises ConfigError for a file that is none, is too large, also by its aliases, or nests too deep.
    """
    try:
        text = read_regular(path, _MOST_YAML).decode()
        _check_size(text, loader)
        loaded = yaml.load(text, loader)
    except (OSError, ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{what} {path} is not valid YAML: {reason_of(error)}") from None
    if loaded is not None and not isinstance(loaded, dict):
        raise ConfigError(f"{what} {path} contains a {type(loaded).__name__}, not `name: value` lines")
    return loaded or {}


def _check_size(text: str, loader: type[yaml.SafeLoader]) -> None:
    """Raise ValueError for YAML that nests too deep, or is too large when every alias is written out."""
    sizes: dict[str | None, int] = {}
    open_parts: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_parts.append((event.anchor, 1))
            if len(open_parts) > _DEEPEST_YAML:
                raise ValueError("its brackets nest too deep")
            continue
        anchor, size = None, 0
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_parts.pop()
        elif isinstance(event, yaml.AliasEvent):
            size = sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        if anchor is not None:
            sizes[anchor] = size
        open_parts[-1] = (open_parts[-1][0], open_parts[-1][1] + size)
        if open_parts[-1][1] > _MOST_VALUES:
            raise ValueError(f"it has more than {_MOST_VALUES} values, aliases (*name) written out")


def _check_names(parts: Mapping[str, Any], where: str) -> None:
    """Refuse settings outside of a part, all in one message, and unknown names."""
    own = {
        name for name, value in parts.items() if name in BuildConfig.model_fields and isinstance(value, Mapping | None)
    }
    flat = [name for name in parts if name in SETTINGS and name not in own]
    if flat:
        moves = "".join(f"\n  {name} -> {SETTINGS[name].path}" for name in flat)
        raise ConfigError(f"{where}: settings are in parts now, as in `camera: {{size: 256}}`; move these:{moves}")
    paths = {setting.path for setting in SETTINGS.values()}
    for part, values in parts.items():
        if part not in BuildConfig.model_fields:
            raise ConfigError(f"{where}: unknown setting {str(part)!r}{_hint(str(part))}")
        if not isinstance(values, Mapping | None):
            raise ConfigError(f"{where}: {part} is a part, not a setting; write `{part}: {{name: value}}`")
        for name in values or {}:
            if f"{part}.{name}" not in paths:
                raise ConfigError(f"{where}: unknown setting '{part}.{name}'{_hint(f'{part}.{name}')}")


def _hint(path: str) -> str:
    """The known name nearest to an unknown one: the same last word in another part, or a similar spelling."""
    words = {each.name: each.path for each in SETTINGS.values()} | {flag: each.path for flag, each in SETTINGS.items()}
    known = words | {name: name for name in (*BuildConfig.model_fields, *words.values())}
    word = path.rpartition(".")[2]
    close = [word] if word in words else difflib.get_close_matches(path, known, n=1)
    return f"; did you mean {known[close[0]]!r}?" if close else f"; known parts: {', '.join(BuildConfig.model_fields)}"
