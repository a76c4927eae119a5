"""Muon: steps whose matrices have all their singular values near one (Jordan, 2024), for many matrices at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonal(x: Tensor, rounds: int = 5) -> Tensor:
    """Matrices [..., rows, columns] with about the same directions and singular values near one (Newton-Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    turned = x.shape[-2] > x.shape[-1]
    x = (x.mT if turned else x).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if turned else x).float()


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum; every parameter is a matrix."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step for every parameter that has a gradient."""
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[tuple(parameter.shape)].append(parameter)
            for shape, parameters in shapes.items():
                updates = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if "velocity" not in state:
                        state["velocity"] = torch.zeros_like(parameter)
                    velocity = state["velocity"]
                    velocity.lerp_(parameter.grad, 1 - group["momentum"])
                    updates.append(parameter.grad.lerp(velocity, group["momentum"]))
                steps = orthogonal(torch.stack(updates)) * max(1.0, shape[0] / shape[1]) ** 0.5
                for parameter, move in zip(parameters, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["decay"]).add_(move, alpha=-group["lr"])
