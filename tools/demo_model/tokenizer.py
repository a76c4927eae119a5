"""The demo model's tokenizer: byte-level BPE in which copying a word is copying its tokens.

A word has the same pieces wherever it stands, since the space before it is a token of its own; only the commonest words
keep it (" the", " of"), which shortens every sentence. Digits stand alone. llama.cpp cuts texts the same way under the
names `gpt2` and `qwen2`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import words
from .grammar import capital, participle, past, plural, third
from .names import invented

PAD, END, USER, ASSISTANT, SYSTEM = range(5)
SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]

# How llama.cpp's `qwen2` cuts a text before it looks for pieces (src/llama-vocab.cpp).
_CUTS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPACE = "\u0120"  # how byte-level BPE writes a space


def build(path: Path, size: int = 4096) -> Tokenizer:
    """Find the pieces in the word lists and in invented names, and write the tokenizer to a file."""
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{L}+|[^\p{L}]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    common = list(dict.fromkeys(words.COMMON))
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(common),
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learned.train_from_iterator(_corpus(), trainer)
    state = json.loads(learned.to_str())["model"]
    vocabulary, merges = state["vocab"], [tuple(merge) for merge in state["merges"]]
    for word in common:
        if word in vocabulary:
            vocabulary[_SPACE + word] = len(vocabulary)
            merges.append((_SPACE, word))
    return assembled(path, vocabulary, merges)


def assembled(path: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """The tokenizer of given pieces and merges, which is also written to a file."""
    whole = Tokenizer(models.BPE(vocabulary, merges))
    whole.add_special_tokens(SPECIAL)
    whole.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CUTS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    whole.decoder = decoders.ByteLevel()
    whole.save(str(path))
    return whole


def _corpus() -> Iterator[str]:
    r = random.Random(1)
    for word in words.COMMON:
        yield f"{word} " * 60
    for verb in {*words.DEEDS, *words.WORKS, *words.IRREGULAR}:
        yield f"{verb} {third(verb)} {past(verb)} {participle(verb)} " * 14
    for noun in {*words.NOUNS, *words.JOBS}:
        yield f"{noun} " * 14 + f"{capital(noun)} " * 3 + f"{plural(noun)} " * 3
    for word in (
        *words.GOODS, *words.FOODS, *words.ADJECTIVES, *words.MATERIALS, *words.COLORS, *words.POSITIVE,
        *words.NEGATIVE, *words.GOOD_DEEDS, *words.BAD_DEEDS,
    ):  # fmt: skip
        yield f"{word} " * 12 + f"{capital(word)} " * 2
    for name in (*words.FIRST, *words.LAST, *words.PLACES, *words.BUILDINGS, *words.WATERS, *words.TITLES):
        yield f"{name} " * 10
    for name in (*words.MONTHS, *words.DAYS, *words.LANGUAGES, *words.UNITS, *words.INSTRUCTIONS):
        yield f"{name} " * 20
    for _ in range(6000):
        yield invented(r)
