"""Lessons as rows of numbers for the trainer: one beginning, with all its questions side by side.

Every question sees the beginning and itself, not the other questions, and its positions go on where the beginning ends:
what is computed is what the model would compute for each question alone, but the passage is read once. That gives many
times as many answers for the same work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from .tasks import Lesson, lesson
from .tokenizer import ASSISTANT, END, SYSTEM, USER

# Which answer it will be is decided at its first token.
FIRST, ANSWER, REST = 2.5, 1.0, 0.08
_SHUT = -1e4
_FURTHEST = 500  # with the longest row, still within the model's context


@dataclass(frozen=True)
class Row:
    """Tokens, what comes after each, how much that counts, positions, and the branch each belongs to (0: beginning)."""

    tokens: list[int]
    targets: list[int]
    weights: list[float]
    positions: list[int]
    branches: list[int]


def row(tokenizer: Tokenizer, given: Lesson, gap: tuple[float, int] | None = None) -> Row:
    """A lesson as a row; `gap` (where in the beginning, how far) moves later positions on, as in a longer text."""

    def pieces(text: str) -> list[int]:
        return list(tokenizer.encode(text).ids)

    system = [SYSTEM, *pieces(given.system), END] if given.system else []
    beginning = [*system, USER, *pieces(given.beginning)]
    tokens, targets = beginning[:-1], beginning[1:]
    weights, branches = [REST] * len(tokens), [0] * len(tokens)
    positions = list(range(len(tokens)))
    if gap is not None:
        start = round(gap[0] * len(positions))
        positions = [position + (gap[1] if number >= start else 0) for number, position in enumerate(positions)]
    last = (positions[-1] if positions else -1) + 1
    line, counts = [beginning[-1]], [0.0]
    for number, (asked, answer) in enumerate(given.turns):
        head, tail = [*pieces(asked), END, ASSISTANT], [*pieces(answer), END]
        if given.chained and number:
            head = [USER, *head]
        line, counts = [*line, *head, *tail], [*counts, *[0.0] * len(head), FIRST, *[ANSWER] * (len(tail) - 1)]
        if not given.chained or number == len(given.turns) - 1:
            tokens, targets, weights = tokens + line[:-1], targets + line[1:], weights + counts[1:]
            positions += range(last, last + len(line) - 1)
            branches += [number + 1] * (len(line) - 1)
            line, counts = [beginning[-1]], [0.0]
    return Row(tokens, targets, weights, positions, branches)


@dataclass(frozen=True)
class Batch:
    """Rows as tensors [rows, time], filled up to the longest, and the mask [rows * heads, time, time] of every head."""

    tokens: Tensor
    targets: Tensor
    weights: Tensor
    positions: Tensor
    mask: Tensor


def batches(
    tokenizer: Tokenizer, r: Random, progress: float, size: int, longest: int, heads: int, pool: int = 320
) -> Iterator[Batch]:
    """Batches of at most `size` tokens, of rows of about the same length."""
    rows: list[Row] = []
    while len(rows) < pool:
        gap = (r.random(), r.randint(1, _FURTHEST)) if progress > 0.3 and r.random() < 0.3 else None
        made = row(tokenizer, lesson(r, progress), gap)
        if len(made.tokens) <= longest:
            rows.append(made)
    rows.sort(key=lambda made: len(made.tokens))
    groups: list[list[Row]] = [[]]
    for made in rows:
        if groups[-1] and (len(groups[-1]) + 1) * len(made.tokens) > size:
            groups.append([])
        groups[-1].append(made)
    r.shuffle(groups)
    for group in groups:
        yield stacked(group, heads)


def stacked(group: list[Row], heads: int) -> Batch:
    """Rows as one batch."""
    count, time = len(group), max(len(made.tokens) for made in group)
    tokens, targets, positions, branches = (np.zeros((count, time), dtype=np.int64) for _ in range(4))
    weights = np.zeros((count, time), dtype=np.float32)
    for number, made in enumerate(group):
        end = len(made.tokens)
        tokens[number, :end], targets[number, :end] = made.tokens, made.targets
        weights[number, :end], positions[number, :end] = made.weights, made.positions
        branches[number, :end] = made.branches
    own = torch.from_numpy(branches)
    seen = (own[:, None, :] == 0) | (own[:, None, :] == own[:, :, None])
    seen &= torch.ones(time, time, dtype=torch.bool).tril()
    mask = torch.zeros(count, time, time, dtype=torch.bfloat16).masked_fill_(~seen, _SHUT)
    mask = mask[:, None].expand(count, heads, time, time).reshape(count * heads, time, time)
    return Batch(*(torch.from_numpy(part) for part in (tokens, targets, weights, positions)), mask)
