"""The user's settings: the file `settings.yaml` in the home, which people and `phloem models` edit.

    models:
      default: local:mine             # where nothing else names a model
      embedding: local:minilm
      memory: 8GB                     # what loaded models may take together
      gpu_layers: 0                   # also context, threads, parallel
    providers:
      lab: {url: "http://10.0.0.5:8000/v1", key: LAB_KEY}   # also like, connect, timeout, total
    prices:                           # US dollars per million tokens
      "openai:gpt-5": {in: 1.25, out: 10, cached: 0.125}

    deny: [net=*.example.org]         # what no workflow may touch; see grants.rules
    allow: [net=api.example.com]      # what every workflow may
    offline: true                     # no connection

What it does not know it keeps, a newer version may, and so are comments. A key is never in it, only the name of one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from phloem.runtime.disk import replace_file
from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home

__all__ = ["Settings", "byte_count"]

LARGEST: Final = 1_000_000
"""Bytes of a settings file: a larger one is some other file."""
SECTIONS: Final = ("models", "providers", "prices", "tracing")

_AMOUNT: Final = r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([a-zA-Z]*)\s*"
_UNITS: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS_OF_1024: Final = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


class Settings:
    """The settings as they were read. A change makes other settings, which `save` writes.

    `models`, `providers` and `prices` are the sections, empty where the file has none.
    """

    def __init__(self, path: Path, text: str = "") -> None:
        self.path = path
        self._text = text
        self._data = _parsed(path, text)

    @classmethod
    def load(cls, home: Home) -> Settings:
        """What the home's file says; empty settings without a file. ConfigError, with the line, if it is none."""
        path = home.path / "settings.yaml"
        try:
            with path.open("rb") as file:
                data = file.read(LARGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            return cls(path)
        except OSError as error:
            if not os.access(home.path, os.X_OK):
                # A home that cannot be looked into holds nothing, here as for the cache.
                return cls(path)
            raise ConfigError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
        if len(data) > LARGEST:
            raise ConfigError(f"{path} is larger than {LARGEST:,} bytes, so it holds no settings")
        try:
            return cls(path, data.decode())
        except UnicodeDecodeError:
            raise ConfigError(f"{path} is not a text in UTF-8") from None

    @property
    def models(self) -> Mapping[str, Any]:
        """How local models run, and which is the default."""
        return self._section("models")

    @property
    def providers(self) -> Mapping[str, Any]:
        """Servers that speak OpenAI's protocol, by the name that stands before the colon of their models."""
        return self._section("providers")

    @property
    def prices(self) -> Mapping[str, Any]:
        """US dollars per million tokens (`in`, `out`, `cached`), by full name of the model."""
        return self._section("prices")

    @property
    def tracing(self) -> Mapping[str, Any]:
        """Whether runs are traced, and where the spans go. See tracing.choice."""
        return self._section("tracing")

    def text(self, section: str, name: str) -> str:
        """A setting that is a text; empty where there is none. ConfigError if it is something else."""
        value = self._section(section).get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(section, name, "must be a text")
        return value

    def whole(self, section: str, name: str, least: int = 0) -> int | None:
        """A setting that is a whole number from `least` on; None where there is none. ConfigError otherwise."""
        value = self._section(section).get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(section, name, f"must be a whole number, {least:,} or more")
        return value

    def bytes(self, section: str, name: str) -> int | None:
        """A setting that is an amount of memory, a number or such as `8GB`; None where there is none."""
        value = self._section(section).get(name)
        if value is None:
            return None
        found = byte_count(value)
        if found is None:
            raise self.wrong(section, name, "must be an amount of memory, such as 8GB")
        return found

    def listed(self, section: str) -> list[tuple[str, str]]:
        """Each text of a section that is a list of texts, with its place, `FILE:LINE`. ConfigError if it is none."""
        if self._data.get(section) is None:
            return []
        node = self._node(section)
        entries = getattr(node, "value", None)
        place = f"{self.path}:{node.start_mark.line + 1}"
        if not isinstance(self._data[section], list) or not isinstance(entries, list):
            raise ConfigError(f"{place}: {section} must be a list", hint=f"Write {section}: [net=example.org]")
        found = []
        for text, entry in zip(self._data[section], entries, strict=True):
            place = f"{self.path}:{entry.start_mark.line + 1}"
            if not isinstance(text, str):
                raise ConfigError(f"{place}: {section}: {text!r:.60} is not a text such as net=example.org")
            found.append((text.strip(), place))
        return found

    def switch(self, name: str) -> tuple[bool, str]:
        """Whether a setting of the top is `true`, and its place, `FILE:LINE`. ConfigError if it is neither that nor
        `false`."""
        value = self._data.get(name)
        if value is None:
            return False, ""
        place = f"{self.path}:{self._node(name).start_mark.line + 1}"
        if not isinstance(value, bool):
            raise ConfigError(f"{place}: {name} is {value!r:.60}, and must be true or false")
        return value, place

    def changed(self, section: str, name: str, value: Any) -> Settings:
        """Settings with that value, or without it if `value` is None. The file stays as it is until `save`."""
        if value is None and name not in self._section(section):
            return self
        from phloem.runtime.yaml_edit import edited

        entries = {key: one for key, one in {**self._section(section), name: value}.items() if one is not None}
        wanted = {**self._data, section: entries} if entries else {k: v for k, v in self._data.items() if k != section}
        return Settings(self.path, edited(self._text, section, name, value, wanted))

    def save(self) -> None:
        """Write the file, or the one that a link in its place leads to, all or nothing. ConfigError if that cannot
        be done."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(Path(os.path.realpath(self.path)), self._text.encode())
        except OSError as error:
            raise ConfigError(f"cannot write {self.path}: {(error.strerror or str(error)).lower()}") from error

    def wrong(self, section: str, name: str, rule: str) -> ConfigError:
        """The error for a setting that breaks a rule, with its place."""
        value = repr(self._section(section).get(name))
        return ConfigError(f"{self.path}: {section}.{name} is {value[:100]}, and {rule}")

    def _node(self, name: str) -> Any:
        """What stands under a name of the top, in the tree that knows its lines. ConfigError if it is there twice: the
        first would be lost without a word."""
        import yaml

        tree = yaml.compose(self._text, yaml.SafeLoader)
        entries = tree.value if isinstance(tree, yaml.MappingNode) else []
        found = [(key, value) for key, value in entries if key.value == name]
        if not found:
            raise ConfigError(f"{self.path}: {name} comes from elsewhere in the file", hint="Write it out at the top.")
        if len(found) > 1:
            raise ConfigError(f"{self.path}:{found[1][0].start_mark.line + 1}: {name} is there twice")
        return found[0][1]

    def _section(self, name: str) -> Mapping[str, Any]:
        section = {} if self._data.get(name) is None else self._data[name]
        if not isinstance(section, dict):
            raise ConfigError(f"{self.path}: {name} must have names with values below it")
        odd = next((key for key in section if not isinstance(key, str)), None)
        if odd is not None:
            raise ConfigError(f"{self.path}: {odd!r:.100} in {name} is not a name", hint="Put it in quotes.")
        return section


def byte_count(value: object) -> int | None:
    """How many bytes a number or a text such as `8GB`, `1.5 GiB` or `500000` means; None if it means none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else None
    found = re.fullmatch(_AMOUNT, value, re.ASCII) if isinstance(value, str) else None
    factor = (_UNITS | _UNITS_OF_1024).get(found[2].lower()) if found else None
    return int(float(found[1]) * factor) or None if found and factor else None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    import yaml

    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError) as error:
        # The last two are what PyYAML raises for a tag such as !!int or !!timestamp before something else.
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ConfigError(f"{path}: settings are names with values", hint=f"It may have {', '.join(SECTIONS)}.")
    return data
