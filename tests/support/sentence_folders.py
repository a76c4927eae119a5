"""Small models of sentence-transformers with random weights, laid out as the cache of Hugging Face has them.

They are models in every respect but what they have learned, so whatever is computed with them is computed.
"""

from __future__ import annotations

import shutil
import string
from collections.abc import Callable
from pathlib import Path

WORDS = "refunds are paid within thirty days the tower is forty meters high bread baked from flour and water how do i get my money back ?"
LONGEST = 48
"""Tokens that the models read at once."""


def vector_model(folder: Path, *, seed: int = 1) -> None:
    """Save a model that makes vectors of 32 numbers."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    bert = folder.with_name("bert")
    _bert("BertModel", bert, seed)
    transformer = Transformer(str(bert), max_seq_length=LONGEST)
    # A card would be looked up on the hub.
    whole = SentenceTransformer(modules=[transformer, Pooling(32), Normalize()], device="cpu", local_files_only=True)
    whole.save(str(folder), create_model_card=False)
    shutil.rmtree(bert)


def cross_encoder(folder: Path, *, classes: int = 1, seed: int = 2) -> None:
    """Save a model that compares texts in pairs, as it is published: the files of transformers and no more."""
    _bert("BertForSequenceClassification", folder, seed, num_labels=classes)


def put_into_cache(hub: Path, name: str, save: Callable[[Path], None], revision: str = "a" * 40) -> Path:
    """The snapshot of `PUBLISHER/NAME` in the cache folder `hub`, filled by `save`."""
    root = hub / f"models--{name.replace('/', '--')}"
    snapshot = root / "snapshots" / revision
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    save(snapshot)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / "main").write_text(revision)
    return snapshot


def _bert(kind: str, folder: Path, seed: int, **options: int) -> None:
    import torch
    import transformers

    folder.mkdir(parents=True)
    letters = [*string.ascii_lowercase, *string.digits, ".", "?", ","]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{one}" for one in letters)]
    tokens += [word for word in dict.fromkeys(WORDS.split()) if word not in tokens]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(tokens))
    tokenizer = transformers.BertTokenizerFast(str(vocabulary), model_max_length=LONGEST)
    tokenizer.save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, **options,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(8)  # Otherwise all texts are nearly the same to it.
    model.save_pretrained(folder)
