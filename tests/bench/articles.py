"""How much of an article web.read finds, and nothing else: `python tests/bench/articles.py [FOLDER]`.

FOLDER (or PHLOEM_PAGES) has a folder per page, with `source.html` and the article that a reader expects as
`expected.html`; Mozilla Readability's test pages are such. The figure is F1 over the words of a page: the
harmonic mean of how many of ours are expected and how many of the expected ones are ours, each counted as
often as it occurs. Trafilatura and readability-lxml are measured beside it where they are installed.
"""

from __future__ import annotations

import argparse
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Final

from phloem.nodes.articles.article import read_article
from phloem.nodes.articles.charset import decode
from phloem.nodes.articles.parse import parse_page
from tables import Aim, Table, heading

MEAN: Final = Aim(0.96, "F1", at_least=True)
LEAST: Final = 0.6
WORST: Final = 5


def main() -> int:
    """1 if our mean is under the aim, or a page under 0.6; 0 otherwise, and where there are no pages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("PHLOEM_PAGES"))
    folder = parser.parse_args().folder
    pages = sorted(path.parent for path in Path(folder).glob("*/source.html")) if folder else []
    heading(f"Articles of {len(pages)} pages")
    if not pages:
        print(f"\nNot measured: there are no pages in {folder}." if folder else "\nNot measured: no folder was named.")
        return 0
    table = Table(
        "Words of the article", ["reader", "mean F1", "lowest", f"under {LEAST}", "ms a page", "aim", "verdict"], left=1
    )  # fmt: skip
    ours: dict[str, float] = {}
    for name, reader in readers().items():
        found, milliseconds = measure(reader, pages)
        mean, least = fmean(found.values()), min(found.values())
        under = sum(figure < LEAST for figure in found.values())
        aim = MEAN if not ours else None
        cells = [name, f"{mean:.4f}", f"{least:.3f}", str(under), f"{milliseconds:.0f}"]
        table.row(*cells, str(aim or ""), aim.verdict(mean) if aim else "")
        ours = ours or found
    table.show()
    print(
        f"\nOur lowest: {', '.join(f'{name} {ours[name]:.3f}' for name in sorted(ours, key=ours.__getitem__)[:WORST])}"
    )
    return int(fmean(ours.values()) < MEAN.limit or min(ours.values()) < LEAST)


Reader = Callable[[str], str]


def readers() -> dict[str, Reader]:
    """Ours first, then the others that are installed."""
    found: dict[str, Reader] = {"phloem web.read": lambda html: read_article(html).text}
    if find_spec("trafilatura"):
        found["trafilatura"] = _trafilatura
    if find_spec("readability"):
        found["readability-lxml"] = _readability_lxml
    return found


def measure(reader: Reader, pages: list[Path]) -> tuple[dict[str, float], float]:
    """F1 by page, and the mean of the milliseconds that a page took."""
    found, seconds = {}, 0.0
    reader("<p>Loads what it needs.</p>")
    for page in pages:
        html = decode((page / "source.html").read_bytes())
        expected = words_of(decode((page / "expected.html").read_bytes()))
        began = time.perf_counter()
        text = reader(html)
        seconds += time.perf_counter() - began
        found[page.name] = f1(words(text), expected)
    return found, seconds * 1e3 / len(pages)


words: Final = partial(re.compile(r"\w+").findall)


def words_of(html: str) -> list[str]:
    """The words of a piece of HTML; a tag ends a word."""
    return words(" ".join(parse_page(html).body.texts()))


def f1(ours: list[str], expected: list[str]) -> float:
    """1 if the two have the same words, 0 if they have none in common."""
    have, want = (Counter(word.lower() for word in given) for given in (ours, expected))
    return 2 * (have & want).total() / (have.total() + want.total()) if have or want else 1.0


def _trafilatura(html: str) -> str:
    from trafilatura import extract

    return extract(html) or ""


def _readability_lxml(html: str) -> str:
    from readability import Document

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return " ".join(parse_page(Document(html).summary()).body.texts())


if __name__ == "__main__":
    raise SystemExit(main())
