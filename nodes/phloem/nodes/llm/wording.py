"""What the language-model kinds have in common: which model, how it chooses its words, and on what a result depends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from phloem.runtime.context import Context
from phloem.runtime.declare import Setting
from phloem.runtime.ports import ModelName, PortType
from phloem.runtime.services import Sampling

__all__ = [
    "CutOff",
    "Instructions",
    "Logprobs",
    "MaxTokens",
    "MinP",
    "Model",
    "Overflow",
    "Passages",
    "Penalty",
    "Seed",
    "Stop",
    "Temperature",
    "TopK",
    "TopP",
    "sampling",
    "stamp",
]

MOST_OTHERS: Final = 20
"""Other tokens that are told beside each: no provider tells more."""

Passages = Annotated[Any, PortType("any")]
"""Documents, hits or texts. See conversations.passages."""
Instructions = Annotated[str, Setting("Instructions that hold for the whole conversation", multiline=True)]
Model = Annotated[ModelName, Setting("The model, such as local:demo; the run's own if empty")]
MaxTokens = Annotated[int, Setting("Stop after this many tokens (a token is about four letters)", ge=1, le=100_000)]
Temperature = Annotated[float, Setting("Chance in the choice of words: 0 none, 1 much", ge=0, le=5)]
TopK = Annotated[int, Setting("Choose among this many likeliest tokens; 0 among all", ge=0, le=100_000)]
TopP = Annotated[float, Setting("Choose among the likeliest tokens that make up this share", ge=0, le=1)]
MinP = Annotated[float, Setting("Leave out tokens below this share of the likeliest one's chance", ge=0, le=1)]
Penalty = Annotated[float, Setting("Above 1: use a token less readily again", ge=0.1, le=10)]
Seed = Annotated[int | None, Setting("Makes chance repeatable: the same seed, the same text")]
Stop = Annotated[Sequence[str], Setting("End before any of these texts")]
Overflow = Annotated[
    Literal["error", "drop", "summarise"], Setting("What becomes of the oldest turns if the conversation is too long")
]
CutOff = Annotated[Literal["keep", "error"], Setting("What becomes of an answer that max_tokens cuts off")]
Logprobs = Annotated[
    int | None,
    Setting("Tell how likely each token was, beside this many others; not if empty", ge=0, le=MOST_OTHERS, shapes=True),
]


def sampling(
    context: Context, max_tokens: int, temperature: float, top_k: int, top_p: float, min_p: float,
    repeat_penalty: float, seed: int | None, stop: Sequence[str] = (), logprobs: int | None = None,
) -> Sampling:  # fmt: skip
    """The settings as the service takes them. Without a seed chance comes from the run's own seed."""
    found = Sampling(
        max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        repeat_penalty=repeat_penalty, seed=context.seed if seed is None else seed, stop=stop,
    )  # fmt: skip
    if logprobs is not None:
        found["logprobs"] = logprobs
    return found


async def stamp(context: Context, inputs: Mapping[str, Any]) -> str | None:
    """The model's content; None where the answer is left to chance."""
    if float(inputs.get("temperature", 0)) > 0 and inputs.get("seed") is None:
        return None
    return await context.models.identity(inputs.get("model", ""))
