"""A model file of realistic shape with random weights: as much to compute as a real one, nothing to download.

Architecture `llama`, with the vocabulary and the chat template of the bundled demo model. Its weights are
random, so what it writes means nothing; how long it takes does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from phloem.nodes.services.models.local.catalogue import DATA

__all__ = ["Shape", "write_model"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Width, layers, heads (`shared` of them for keys and values) and feed-forward width of a model.

    The shape of SmolLM2-135M, a model that people run on such machines (its config.json), unless another is given.
    """

    width: int = 576
    layers: int = 30
    heads: int = 9
    shared: int = 3
    inner: int = 1536
    context: int = 4096
    seed: int = 0


def write_model(target: Path, shape: Shape, weights: str = "Q8_0") -> Path:
    """Write the file, with matrices as `weights` (a name of gguf.GGMLQuantizationType). Needs the package gguf."""
    import gguf

    source = gguf.GGUFReader(str(DATA / "demo.gguf"))
    kind = gguf.GGMLQuantizationType[weights]
    random = np.random.default_rng(shape.seed)
    writer = gguf.GGUFWriter(str(target), "llama")
    _write_values(writer, shape)
    words = _write_vocabulary(writer, source)

    def matrix(name: str, rows: int, columns: int, spread: float | None = None) -> None:
        values = random.standard_normal((rows, columns), np.float32)
        values *= spread if spread is not None else 1 / math.sqrt(columns)
        if name == "token_embd.weight":
            # The token that ends a text is as likely as none: every answer has the length asked for.
            values[0] = 0
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    kept = shape.width // shape.heads * shape.shared
    matrix("token_embd.weight", words, shape.width, 0.05)
    writer.add_tensor("output_norm.weight", np.ones(shape.width, np.float32))
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        matrix(block + "attn_q.weight", shape.width, shape.width)
        matrix(block + "attn_k.weight", kept, shape.width)
        matrix(block + "attn_v.weight", kept, shape.width)
        matrix(block + "attn_output.weight", shape.width, shape.width)
        matrix(block + "ffn_gate.weight", shape.inner, shape.width)
        matrix(block + "ffn_up.weight", shape.inner, shape.width)
        matrix(block + "ffn_down.weight", shape.width, shape.inner)
        for norm in ("attn_norm.weight", "ffn_norm.weight"):
            writer.add_tensor(block + norm, np.ones(shape.width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _write_values(writer: Any, shape: Shape) -> None:
    writer.add_name("random")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.shared)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(10000.0)


def _write_vocabulary(writer: Any, source: Any) -> int:
    """Copy the tokenizer; how many tokens it has. Only token 0 ends a text."""
    fields = {key: field.contents() for key, field in source.fields.items() if key.startswith("tokenizer.")}
    words = fields["tokenizer.ggml.tokens"]
    # llama.cpp also knows the ends of turns by their names.
    writer.add_token_list([word.replace("<|end|>", "<|fin|>") for word in words])
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model(fields["tokenizer.ggml.model"])
    writer.add_tokenizer_pre(fields["tokenizer.ggml.pre"])
    writer.add_token_types(fields["tokenizer.ggml.token_type"])
    writer.add_token_merges(fields["tokenizer.ggml.merges"])
    for mark in ("bos", "eos", "eot", "pad"):
        getattr(writer, f"add_{mark}_token_id")(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(fields["tokenizer.chat_template"].replace("<|end|>", "<|fin|>"))
    return len(words)
