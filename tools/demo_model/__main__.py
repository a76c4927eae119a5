"""`python -m tools.demo_model FOLDER --minutes 90`: tokenizer, training, export and evaluation in one go.

`--from MODEL.gguf` goes on training a model that this program wrote. See README.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from . import evaluate, export, tokenizer
from .model import Shape

VOCABULARY = 5120


def main() -> None:
    """Make a model in a folder, or export and judge the checkpoint that lies there (`--minutes 0`)."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the tokenizer, the checkpoint and demo.gguf are written")
    parser.add_argument("--minutes", type=float, default=90, help="how long to train; 0: only export and evaluate")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--from", dest="model", type=Path, help="a demo.gguf whose training goes on")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    pieces, checkpoint = given.folder / "tokenizer.json", given.folder / "checkpoint.pt"
    if given.model and not checkpoint.exists():
        shape, state = export.read(given.model, pieces)
        torch.save({"network": state, "shape": vars(shape)}, checkpoint)
    elif not pieces.exists():
        tokenizer.build(pieces, VOCABULARY)
    if given.minutes:
        command = [sys.executable, "-m", "tools.demo_model.train", str(given.folder)]
        begin = ["--begin", "0.35"] if given.model else []
        subprocess.run([*command, "--minutes", str(given.minutes), "--workers", str(given.workers), *begin], check=True)
    kept = torch.load(checkpoint)
    made = given.folder / "demo.gguf"
    export.write(made, Shape(**kept["shape"]), kept["network"], pieces)
    ask = evaluate.asking(made)
    for name in ("gate", "dev"):
        questions = evaluate.asked(evaluate.WRITTEN / f"{name}.txt")
        print(f"{name}: {evaluate.score(ask, questions)[0]} of {len(questions)} right")


if __name__ == "__main__":
    main()
