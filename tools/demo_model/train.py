"""Trains the demo model on lessons that it makes up on the way, in one or two processes of one thread each."""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from .model import Network, Shape
from .optimizer import Muon
from .rows import ANSWER, Batch, batches

MATRIX_RATE, OTHER_RATE = 0.02, 0.006
LONGEST = 480
TOLD_EVERY, SAVED_EVERY = 30, 180  # seconds


def rate(progress: float, step: int, steady: float = 0.6) -> float:
    """What the learning rates are multiplied with: a short start, a plateau, and a straight way down to nothing."""
    return min(1.0, (step + 1) / 40) * (1.0 if progress < steady else max(0.0, (1 - progress) / (1 - steady)))


class Training:
    """One worker's part of a training: the network, its optimizers, and how far it has come."""

    def __init__(self, folder: Path, worker: int, workers: int, spent: float) -> None:
        self.path = folder / "checkpoint.pt"
        self.worker, self.workers = worker, workers
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        kept = torch.load(self.path) if self.path.exists() else {}
        self.network = Network(Shape(**kept["shape"]) if kept else Shape(self.tokenizer.get_vocab_size()))
        named = list(self.network.named_parameters())
        self.others = [p for name, p in named if p.dim() < 2 or not name.startswith("blocks")]
        self.muon = Muon(p for name, p in named if p.dim() == 2 and name.startswith("blocks"))
        self.adam = torch.optim.AdamW(self.others, betas=(0.9, 0.98), weight_decay=0.0)
        self.step, self.spent, self.seen = 0, spent, 0
        self.loss, self.counted = 0.0, 0
        if kept:
            self._go_on(kept)

    def _go_on(self, kept: dict[str, Any]) -> None:
        self.network.load_state_dict(kept["network"])
        if "muon" in kept:
            self.muon.load_state_dict(kept["muon"])
            self.adam.load_state_dict(kept["adam"])
            self.step, self.spent, self.seen = kept["step"], kept["spent"], kept["seen"]

    def learn(self, batch: Batch, progress: float) -> None:
        """One step on a batch, with the gradients of all workers."""
        weights = batch.weights.flatten()
        where = ((weights >= ANSWER) | ((weights > 0) & (torch.rand(weights.numel()) < 0.1))).nonzero()[:, 0]
        weight = weights[where]
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network.logits(self.network(batch.tokens, batch.positions, batch.mask, where))
        each = F.cross_entropy(logits.float(), batch.targets.flatten()[where], reduction="none")
        ((each * weight).sum() / weight.sum()).backward()
        if self.workers > 1:
            _share([p.grad for p in self.network.parameters() if p.grad is not None], self.workers)
        nn.utils.clip_grad_norm_(self.others, 1.0)
        factor = rate(progress, self.step)
        for optimizer, top in ((self.muon, MATRIX_RATE), (self.adam, OTHER_RATE)):
            for group in optimizer.param_groups:
                group["lr"] = top * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step, self.seen = self.step + 1, self.seen + batch.tokens.numel() * self.workers
        self.loss += float(each.detach()[weight >= ANSWER].sum())
        self.counted += int((weight >= ANSWER).sum())

    def tell(self, progress: float) -> None:
        """Print how far it has come, and the loss of the answers since it was last told."""
        speed, loss = self.seen / max(1.0, self.spent), self.loss / max(1, self.counted)
        print(
            f"{progress:6.1%} step {self.step} {self.seen / 1e6:.2f} M tokens, {speed:.0f}/s, loss {loss:.3f}",
            flush=True,
        )
        self.loss, self.counted = 0.0, 0

    def save(self) -> None:
        """Write a checkpoint, in place of the last one only when it is whole."""
        state = {"network": self.network.state_dict(), "muon": self.muon.state_dict(), "adam": self.adam.state_dict()}
        part = self.path.with_suffix(".part")
        numbers = {"step": self.step, "spent": self.spent, "seen": self.seen}
        torch.save({**state, **numbers, "shape": vars(self.network.shape)}, part)
        part.replace(self.path)


def train(folder: Path, minutes: float, worker: int, workers: int, size: int, begin: float = 0.0) -> None:
    """Train for some minutes; `folder` holds tokenizer.json and gets checkpoint.pt every three minutes.

    Progress is a share of the time, not of the steps: other work on the machine makes it no longer. A checkpoint that
    is already there is continued, at the progress it had; `begin` is where a training that starts from weights begins.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    training = Training(folder, worker, workers, begin * minutes * 60)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    r = random.Random(f"{worker} {training.step}")
    before, started = training.spent, time.monotonic()
    told = saved = started
    stock: Iterator[Batch] = iter(())
    while True:
        spent = _agreed(math.inf if stopped else before + time.monotonic() - started, workers)
        progress = spent / (minutes * 60)
        if progress >= 1:
            break
        training.spent = spent
        batch = next(stock, None)
        if batch is None:
            stock = batches(training.tokenizer, r, progress, size, LONGEST, training.network.shape.heads)
            batch = next(stock)
        training.learn(batch, progress)
        now = time.monotonic()
        if worker == 0 and now - told > TOLD_EVERY:
            training.tell(progress)
            told = now
        if worker == 0 and now - saved > SAVED_EVERY:
            training.save()
            saved = now
    if worker == 0:
        training.save()


def _agreed(seconds: float, workers: int) -> float:
    """The first worker's clock, so that all stop together."""
    clock = torch.tensor([seconds], dtype=torch.float64)
    if workers > 1:
        distributed.broadcast(clock, 0)
    return float(clock)


def _share(gradients: list[Tensor], workers: int) -> None:
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= workers
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()


def main() -> None:
    """`python -m tools.demo_model.train FOLDER --minutes 90`"""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model.train", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--worker", type=int, default=0, help="which of them this is; the first starts the others")
    parser.add_argument("--size", type=int, default=3000, help="tokens of a batch of each worker")
    parser.add_argument("--begin", type=float, default=0.0, help="the progress at which it begins")
    given = parser.parse_args()
    others = []
    if given.workers > 1:
        meeting = (given.folder / "meeting").resolve()
        if given.worker == 0:
            meeting.unlink(missing_ok=True)
            command = [sys.executable, "-m", "tools.demo_model.train", *sys.argv[1:], "--worker"]
            others = [subprocess.Popen([*command, str(number)]) for number in range(1, given.workers)]
        distributed.init_process_group(
            "gloo",
            f"file://{meeting}",
            rank=given.worker,
            world_size=given.workers,
            timeout=timedelta(hours=1),
        )
    train(given.folder, given.minutes, given.worker, given.workers, given.size, given.begin)
    for other in others:
        other.wait()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
