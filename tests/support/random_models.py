"""Models that write at random: the bundled demo model with weights drawn by chance.

What such a model writes in a form tests the form alone: nothing in it ever hints at what a person would write.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
from support.model_files import DEMO

__all__ = ["random_model"]


def random_model(target: Path, seed: int) -> Path:
    """A file at `target` with the vocabulary and the shape of the demo model, and weights drawn with `seed`.

    Matrices are drawn so that what goes through them keeps its size; the weights of norms stay as they are.
    """
    shutil.copyfile(DEMO, target)
    target.chmod(0o644)
    chance = np.random.default_rng(seed)
    for tensor in gguf.GGUFReader(target, "r+").tensors:
        if len(tensor.shape) < 2:
            continue
        shape = tuple(int(size) for size in reversed(tensor.shape))
        weights = chance.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1]))
        tensor.data[...] = gguf.quants.quantize(weights, tensor.tensor_type).reshape(tensor.data.shape)
    return target
