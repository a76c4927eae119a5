"""Which model of sentence-transformers a name means, and what its folder tells without loading it.

The model must be on this machine already: in the cache of Hugging Face, or in a folder that is named by its
path. Nothing is downloaded here, because nothing was granted.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from phloem.runtime.disk import file_digest
from phloem.runtime.errors import InputError, ServiceError
from phloem.runtime.services import ModelInfo

__all__ = ["PROVIDER", "ModelFolder", "find", "folders"]

PROVIDER: Final = "sentence-transformers"
PUBLISHER: Final = "sentence-transformers"
"""Who published the models that are named without their publisher."""
LARGEST_FACTS: Final = 10_000_000
"""Bytes of a file that tells about a model; a larger one is something else."""
MOST_FILES: Final = 1_000
"""In the folder of a model."""
UNBOUNDED: Final = 10**9
"""From here on a length stands for "no limit": tokenizers write 1e30."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_OTHER_FORMATS: Final = ("onnx", "openvino")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model as a folder on this machine: `name` is its full name, and `revision` changes with its content."""

    name: str
    path: Path
    revision: str

    @property
    def makes(self) -> Literal["vectors", "scores"]:
        """Whether it turns a text into a vector, or compares texts in pairs."""
        written = self._facts("config_sentence_transformers.json").get("model_type")
        if written is None and not self._has_modules:
            return "scores" if self._classifies else "vectors"
        if written in (None, "SentenceTransformer", "CrossEncoder"):
            return "scores" if written == "CrossEncoder" else "vectors"
        raise InputError(
            f"{self.name} is a {written!s:.50}, which makes no vectors of the usual kind",
            hint="Choose a SentenceTransformer for vectors or a CrossEncoder for reranking.",
        )

    @property
    def context(self) -> int | None:
        """How many tokens it reads at once, as far as its files tell."""
        config = self._facts("config.json")
        told = [
            self._facts("sentence_bert_config.json").get("max_seq_length"),
            self._facts("tokenizer_config.json").get("model_max_length"),
            config.get("max_position_embeddings"),
        ]
        return next((one for one in told if isinstance(one, int) and 0 < one < UNBOUNDED), None)

    def about(self, *, loaded: bool) -> ModelInfo:
        """What the files tell."""
        config = self._facts("config.json")
        weights = self._weights()
        details = {
            "architecture": config.get("model_type"),
            "dimensions": config.get("hidden_size") if self.makes == "vectors" else None,
            "revision": self.revision,
        }
        return ModelInfo(
            name=self.name,
            provider=PROVIDER,
            makes=self.makes,
            context=self.context,
            size=sum(one.stat().st_size for one in weights) or None,
            parameters=_parameters(weights),
            path=str(self.path),
            loaded=loaded,
            details={name: value for name, value in details.items() if isinstance(value, str | int)},
        )

    def identity(self) -> str:
        """A text that changes with the content, and with the library that runs it."""
        return f"{self.name} {self.revision} {PROVIDER} {version(PROVIDER)}"

    @property
    def is_made_for_this(self) -> bool:
        """Whether it is a model of sentence-transformers, and not one of another kind from the same cache."""
        if self._has_modules:
            written = self._facts("config_sentence_transformers.json").get("model_type")
            return written in (None, "SentenceTransformer", "CrossEncoder")
        classes = self._facts("config.json").get("id2label")
        return self._classifies and isinstance(classes, dict) and len(classes) == 1

    @property
    def _has_modules(self) -> bool:
        return (self.path / "modules.json").is_file()

    @property
    def _classifies(self) -> bool:
        classes = self._facts("config.json").get("architectures")
        return isinstance(classes, list) and any(str(one).endswith("ForSequenceClassification") for one in classes)

    def _facts(self, name: str) -> Mapping[str, Any]:
        """What a JSON file of the folder says; nothing if it is not there or is none."""
        try:
            with (self.path / name).open("rb") as file:
                found = json.loads(file.read(LARGEST_FACTS))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _weights(self) -> list[Path]:
        """The files of the weights: those that are loaded when there are several forms of the same."""
        for form in ("*.safetensors", "*.bin"):
            # In the cache of Hugging Face they are links, whose files may have been removed.
            found = sorted(one for one in self.path.rglob(form) if one.is_file())
            loaded = [one for one in found if not set(_OTHER_FORMATS) & set(one.relative_to(self.path).parts)]
            if loaded:
                return loaded
        return []


def find(model: str) -> ModelFolder:
    """The folder of `sentence-transformers:NAME`, `…:PUBLISHER/NAME` or `…:/path/to/FOLDER`.

    ServiceError without the extra, and when the model is not here; InputError for what is no name.
    """
    name = model.partition(":")[2]
    is_path = Path(name).is_absolute()
    if not is_path and not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r:.100} is not a model's name",
            hint="Such as sentence-transformers:all-MiniLM-L6-v2, or the path of a folder from / or ./ on.",
        )
    if find_spec("sentence_transformers") is None:
        raise ServiceError(f"the model {model:.200} needs an extra", hint=f'pip install "phloem[{PROVIDER}]"')
    if is_path:
        return _own_folder(model, Path(name))
    from huggingface_hub import snapshot_download

    full = name if "/" in name else f"{PUBLISHER}/{name}"
    try:
        path = Path(snapshot_download(full, local_files_only=True))
    except (OSError, ValueError) as error:
        hint = f"Fetch it with: hf download {full}"
        raise ServiceError(f"the model {full} is not on this machine", hint=hint) from error
    return ModelFolder(model, path, path.name)


def folders() -> Iterator[ModelFolder]:
    """The models of sentence-transformers in the cache of Hugging Face."""
    if find_spec("sentence_transformers") is None:
        return
    from huggingface_hub.constants import HF_HUB_CACHE

    for snapshots in sorted(Path(HF_HUB_CACHE).glob("models--*--*/snapshots")):
        full = snapshots.parent.name.removeprefix("models--").replace("--", "/", 1)
        try:
            found = find(f"{PROVIDER}:{full.removeprefix(f'{PUBLISHER}/')}")
        except (InputError, ServiceError):
            continue
        if found.is_made_for_this:
            yield found


def _own_folder(model: str, path: Path) -> ModelFolder:
    if not any((path / name).is_file() for name in ("modules.json", "config.json")):
        raise InputError(
            f"there is no model of sentence-transformers in {path}",
            hint="Give the folder that was saved, with modules.json or config.json in it.",
        )
    return ModelFolder(model, path, _content(path))


def _content(folder: Path) -> str:
    """A hash of all that is in a folder."""
    there = (one for one in folder.rglob("*") if one.is_file())
    files = sorted(itertools.islice(there, MOST_FILES + 1))
    if len(files) > MOST_FILES:
        raise InputError(f"{folder} has more than {MOST_FILES:,} files, so it is not the folder of a model")
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        about = path.stat()
        content = _digest_of(path, about.st_size, about.st_mtime_ns)
        # A name need not be UTF-8.
        digest.update(os.fsencode(path.relative_to(folder)) + f" {content}\n".encode())
    return digest.hexdigest()


@functools.lru_cache(maxsize=500)
def _digest_of(path: Path, size: int, changed: int) -> str:
    """A hash of a file's content, for a file that has this size and time."""
    return file_digest(path)


def _parameters(weights: list[Path]) -> int | None:
    """How many numbers the weights are, which the header of a safetensors file tells."""
    total = 0
    for path in weights:
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, LARGEST_FACTS)))
            total += sum(math.prod(one["shape"]) for name, one in header.items() if name != "__metadata__")
        except (OSError, ValueError, RecursionError, struct.error, AttributeError, KeyError, TypeError):
            return None
    return total or None
