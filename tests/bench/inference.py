"""Local inference side by side with llama-cpp-python: same file, same threads, in turns, in one run.

    python tests/bench/inference.py [--rounds 5] [--threads 1] [--only shared] [--model FILE.gguf]

Besides the bundled model, kept from ending an answer, one of realistic shape is measured, made of random weights. For that
the package gguf is needed. Texts are written at temperature 0. llama-cpp-python is called as its users do: one `Llama` object, one
call after the other. It keeps what the call before has read, as far as the next prompt begins the same;
where the table says "reset", that was taken from it, as if the prompts came in between others.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from phloem.nodes.services.models.local.catalogue import DATA
from phloem.nodes.services.models.local.service import LocalModels
from phloem.runtime.home import Home
from phloem.runtime.services import Request, Sampling
from shaped_model import Shape, write_model
from support.engines import engine_of
from support.meters import Spending
from support.model_files import talkative
from tables import Aim, Table, heading, shown, span

WORDS: Final = ("river", "market", "price", "color", "tower", "bread", "long", "old", "red", "the", "of", "is", "and")


@dataclass(slots=True)
class Bench:
    """One model file with everything that is measured on it."""

    title: str
    path: Path
    threads: int
    models: LocalModels
    llama: Any
    wrong: list[str]

    @property
    def name(self) -> str:
        return f"local:{self.path}"

    def prompt(self, seed: int, tokens: int) -> str:
        """A prompt of about that many tokens."""
        chance = random.Random(seed)
        text = ""
        while len(self.llama.tokenize(text.encode(), special=False)) < tokens:
            text += chance.choice(WORDS) + " "
        return text

    def written(self, prompt: str) -> str:
        """The prompt as the chat template writes it, for one who does not."""
        return f"<|user|>{prompt}<|fin|><|assistant|>"

    def together(self, prompts: Sequence[str], tokens: int) -> list[str]:
        """The answers to prompts that are asked at once."""

        async def all_of_them() -> list[str]:
            return list(await asyncio.gather(*(self._answer(prompt, tokens) for prompt in prompts)))

        return run(all_of_them())

    def alone(self, prompts: Sequence[str], tokens: int) -> list[str]:
        """The answers to prompts that are asked one after the other."""
        return [self.together([prompt], tokens)[0] for prompt in prompts]

    def in_turn(self, prompts: Sequence[str], tokens: int, *, reset: bool = False) -> list[str]:
        """The same of llama-cpp-python."""
        texts = []
        for prompt in prompts:
            if reset:
                self.llama.reset()
            answer = self.llama.create_completion(self.written(prompt), max_tokens=tokens, temperature=0.0)
            texts.append(answer["choices"][0]["text"])
        return texts

    async def _answer(self, prompt: str, tokens: int) -> str:
        request = Request(asked=prompt, sampling=Sampling(max_tokens=tokens))
        pieces = [piece async for piece in self.models.answer(self.name, request, Spending())]
        return "".join(piece for piece in pieces if isinstance(piece, str))


_loop = asyncio.new_event_loop()


def run(work: Any) -> Any:
    return _loop.run_until_complete(work)


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(rounds: int, laps: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """The seconds of each lap in several rounds, in which they take turns. The first round does not count."""
    taken: dict[str, list[float]] = {name: [] for name in laps}
    for turn in range(rounds + 1):
        for name, lap in laps.items():
            took = seconds(lap)
            if turn:
                taken[name].append(took)
    return taken


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round, so that what else the machine did hits both."""
    return [one / other for one, other in zip(over, under, strict=True)]


def faster(table: Table, label: str, own: list[float], other: list[float], aim: Aim | None = None) -> None:
    found = ratios(other, own)
    cells = [label, shown(other, 1000, 0), shown(own, 1000, 0), f"{shown(found, 1, 2)} ×", span(found, 1, 2)]
    table.row(*cells, *([str(aim), aim.verdict(median(found))] if aim else []))


def shared_beginning(bench: Bench, rounds: int) -> None:
    """Eight prompts that share 600 tokens. A round has other prompts than the one before: nothing is known yet."""
    table = Table(
        f"{bench.title}: eight prompts that share a beginning of 600 tokens",
        ["against llama-cpp-python", "in turn, ms", "Phloem, ms", "faster", "from–to", "aim", ""],
        1,
    )
    for tokens in (1, 32):
        fresh = iter(range(10_000 * tokens, 20_000_000))

        def prompts(fresh: Iterator[int] = fresh) -> list[str]:
            beginning = bench.prompt(next(fresh), 600)
            return [beginning + bench.prompt(next(fresh), 20) for _ in range(8)]

        sets = [prompts() for _ in range(rounds + 1)]
        taken: dict[str, list[float]] = {"own": [], "kept": [], "reset": []}
        for turn, asked in enumerate(sets):
            laps = {
                "own": seconds(lambda asked=asked, tokens=tokens: bench.together(asked, tokens)),
                "reset": seconds(lambda asked=asked, tokens=tokens: bench.in_turn(asked, tokens, reset=True)),
            }
            bench.llama.reset()
            laps["kept"] = seconds(lambda asked=asked, tokens=tokens: bench.in_turn(asked, tokens))
            if turn:
                for name, took in laps.items():
                    taken[name].append(took)
        what = "first tokens" if tokens == 1 else f"answers of {tokens} tokens"
        aim = Aim(4, "×", at_least=True) if tokens == 1 else None
        faster(table, f"{what}, reset between calls", taken["own"], taken["reset"], aim)
        faster(table, f"{what}, one `Llama` with what it keeps", taken["own"], taken["kept"])
    table.show()


def different_prompts(bench: Bench, rounds: int) -> None:
    """Eight prompts that share nothing, answered at once and one after another."""
    table = Table(
        f"{bench.title}: eight different prompts of 60 tokens, answers of 96",
        ["against", "in turn, ms", "Phloem at once, ms", "faster", "from–to", "aim", ""],
        1,
    )
    prompts = [bench.prompt(seed, 60) for seed in range(8)]
    alone = bench.alone(prompts, 96)
    texts: list[list[str]] = []
    taken = in_turns(
        rounds,
        {
            "own": lambda: texts.append(bench.together(prompts, 96)),
            "alone": lambda: bench.alone(prompts, 96),
            "llama": lambda: bench.in_turn(prompts, 96),
        },
    )
    faster(table, "llama-cpp-python", taken["own"], taken["llama"], Aim(1.3, "×", at_least=True))
    faster(table, "Phloem, one after another", taken["own"], taken["alone"])
    table.show()
    same = all(found == alone for found in texts)
    print(f"\nTexts at once and alone are {'the same' if same else 'NOT the same'} in each of {len(texts)} rounds.")
    if not same:
        bench.wrong.append(f"{bench.title}: answers at once differ from those alone")


def streaming(bench: Bench, rounds: int) -> None:
    """800 tokens, taken piece by piece, and all at the end."""
    table = Table(
        f"{bench.title}: 800 tokens, streamed",
        ["", "ms", "from–to", "against its own unstreamed", "aim", ""],
        1,
    )
    prompt = "Tell me of the river."
    engine = engine_of(bench.path, context=4096)

    async def stream() -> int:
        request = Request(asked=prompt, sampling=Sampling(max_tokens=800))
        return len([piece async for piece in bench.models.answer(bench.name, request, Spending())])

    def stream_llama(tokens: int) -> None:
        for _ in bench.llama.create_completion(bench.written(prompt), max_tokens=tokens, temperature=0.0, stream=True):
            pass

    taken = in_turns(
        rounds,
        {
            "own": lambda: run(stream()),
            "whole": lambda: engine.text(prompt, max_tokens=800),
            "llama whole": lambda: bench.in_turn([prompt], 800),
            "llama 100": lambda: stream_llama(100),
            "llama 200": lambda: stream_llama(200),
        },
    )
    engine.close()
    aim = Aim(1.15, "×")
    found = ratios(taken["own"], taken["whole"])
    table.row("Phloem, unstreamed: in this process", shown(taken["whole"], 1000, 0), span(taken["whole"], 1000, 0))
    table.row(
        "Phloem, streamed through the pipe", shown(taken["own"], 1000, 0), span(taken["own"], 1000, 0),
        f"{shown(found, 1, 2)} ×", str(aim), aim.verdict(median(found)),
    )  # fmt: skip
    table.row("llama-cpp-python, unstreamed", shown(taken["llama whole"], 1000, 0), span(taken["llama whole"], 1000, 0))
    for tokens in (100, 200):
        name = f"llama {tokens}"
        part = [took * tokens / 800 for took in taken["llama whole"]]
        found = ratios(taken[name], part)
        table.row(
            f"llama-cpp-python, streamed, only {tokens} tokens", shown(taken[name], 1000, 0), span(taken[name], 1000, 0),
            f"{shown(found, 1, 2)} ×",
        )  # fmt: skip
    table.show()


def first_token(bench: Bench, rounds: int) -> None:
    """How long the first piece of an answer takes, in this process and through the pipe; prompts are known."""
    table = Table(f"{bench.title}: first token", ["", "ms", "from–to", "later", "aim", ""], 1)
    prompt = "Tell me of the river."
    engine = engine_of(bench.path)

    def in_process() -> float:
        began = time.perf_counter()
        key = engine.ask(prompt, max_tokens=2)
        while not engine.told.texts.get(key):
            engine.engine.step()
        took = time.perf_counter() - began
        engine.finish()
        return took

    async def through_pipe() -> float:
        began = time.perf_counter()
        request = Request(asked=prompt, sampling=Sampling(max_tokens=2))
        stream = bench.models.answer(bench.name, request, Spending())
        await anext(stream)
        took = time.perf_counter() - began
        async for _ in stream:
            pass
        return took

    here, there = [], []
    for turn in range(20 * rounds):
        one, other = in_process(), run(through_pipe())
        if turn >= 5:
            here.append(one)
            there.append(other)
    engine.close()
    later = [(other - one) * 1000 for one, other in zip(here, there, strict=True)]
    aim = Aim(5, "ms")
    table.row("in this process", shown(here, 1000, 2), span(here, 1000, 2))
    table.row(
        "through the pipe", shown(there, 1000, 2), span(there, 1000, 2), f"{median(later):.2f}", str(aim),
        aim.verdict(median(later)),
    )  # fmt: skip
    table.show()


def embeddings(models: LocalModels, rounds: int, threads: int) -> None:
    """Vectors of the bundled embedding model."""
    from llama_cpp import Llama

    path = DATA / "minilm.gguf"
    llama = Llama(str(path), embedding=True, n_threads=threads, n_threads_batch=threads, n_ctx=512, verbose=False)
    chance = random.Random(1)
    texts = [" ".join(chance.choices(WORDS, k=chance.choice([4, 12, 40]))) for _ in range(64)]
    taken = in_turns(
        rounds,
        {
            "own": lambda: run(models.embed("local:minilm", texts, Spending())),
            "llama": lambda: [llama.embed(text) for text in texts],
            "llama list": lambda: llama.embed(texts),
        },
    )
    table = Table(
        "Vectors of 64 short texts",
        ["against llama-cpp-python", "its ms", "Phloem, ms", "faster", "from–to"],
        1,
    )
    faster(table, "text by text", taken["own"], taken["llama"])
    faster(table, "as one list", taken["own"], taken["llama list"])
    table.show()
    llama.close()


PARTS: Final = {
    "shared": shared_beginning,
    "different": different_prompts,
    "streaming": streaming,
    "first": first_token,
}


def main() -> int:
    """0 unless answers at once differ from those alone. A figure beside its aim is no failure."""
    given = argparse.ArgumentParser()
    given.add_argument("--rounds", type=int, default=5)
    given.add_argument("--threads", type=int, default=1)
    given.add_argument("--only", choices=[*PARTS, "vectors"])
    given.add_argument("--model", type=Path, action="append", help="another file to measure, instead of the two")
    asked = given.parse_args()
    heading("Local inference")
    print(f"{asked.threads} thread(s), {asked.rounds} rounds, medians")
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        (home.path / "settings.yaml").write_text(f"models: {{threads: {asked.threads}}}\n")
        models = LocalModels(home)
        try:
            for title, path in files(asked.model, Path(folder)):
                with opened(title, path, asked.threads, models, wrong) as bench:
                    for name, part in PARTS.items():
                        if asked.only in (None, name):
                            part(bench, asked.rounds)
            if asked.only in (None, "vectors"):
                embeddings(models, asked.rounds, asked.threads)
        finally:
            run(models.close())
    for one in wrong:
        print(f"WRONG: {one}")
    return 1 if wrong else 0


def files(given: list[Path] | None, folder: Path) -> Iterator[tuple[str, Path]]:
    """The models to measure, with their titles."""
    if given:
        yield from ((path.name, path.absolute()) for path in given)
        return
    path = write_model(folder / "random.gguf", Shape())
    yield f"Random weights, Q8_0, {path.stat().st_size / 1e6:.0f} MB", path
    yield "Bundled demo model, which never ends", talkative(folder / "demo.gguf")


@contextlib.contextmanager
def opened(title: str, path: Path, threads: int, models: LocalModels, wrong: list[str]) -> Iterator[Bench]:
    """A model in memory on both sides."""
    from llama_cpp import Llama

    llama = Llama(str(path), n_ctx=0, n_threads=threads, n_threads_batch=threads, verbose=False)
    try:
        yield Bench(title, path, threads, models, llama, wrong)
    finally:
        llama.close()


if __name__ == "__main__":
    raise SystemExit(main())
