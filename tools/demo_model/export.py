"""Writes the trained network as a GGUF file that llama.cpp runs, and reads the weights back from one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from torch import Tensor

from .model import EPSILON, Shape
from .tokenizer import END, PAD, assembled

TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role']=='assistant' %}<|assistant|>{{ m['content'] }}<|end|>"
    "{% elif m['role']=='system' %}<|system|>{{ m['content'] }}<|end|>"
    "{% else %}<|user|>{{ m['content'] }}<|end|>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_NAMES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def names(layers: int) -> dict[str, str]:
    """The network's parameters and what llama.cpp calls them."""
    found = {"embedding": "token_embd.weight", "norm": "output_norm.weight"}
    for layer in range(layers):
        for ours, theirs in {**_NAMES, "attn_norm": "attn_norm", "ffn_norm": "ffn_norm"}.items():
            found[f"blocks.{layer}.{ours}"] = f"blk.{layer}.{theirs}.weight"
    return found


def write(path: Path, shape: Shape, state: dict[str, Tensor], tokenizer: Path, quantized: bool = True) -> None:
    """Write the model with its tokenizer and chat template: matrices in q8_0 (or whole), norms in 32 bits."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("Phloem demo")
    writer.add_description("A very small model that answers questions from a passage given with them")
    writer.add_author("Phloem")
    writer.add_license("apache-2.0")
    writer.add_languages(["en"])
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(shape.base)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quantized else gguf.LlamaFileType.ALL_F32)
    if quantized:
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer, json.loads(tokenizer.read_text("utf-8")))
    for ours, theirs in names(shape.layers).items():
        values = state[ours].detach().float().numpy().astype(np.float32)
        if quantized and values.ndim == 2:
            writer.add_tensor(theirs, gguf.quants.quantize(values, Kind.Q8_0), raw_dtype=Kind.Q8_0)
        else:
            writer.add_tensor(theirs, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, said: dict[str, Any]) -> None:
    pieces = {number: piece for piece, number in said["model"]["vocab"].items()}
    special = {added["id"] for added in said["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([pieces[number] for number in range(len(pieces))])
    writer.add_token_types(
        [gguf.TokenType.CONTROL if number in special else gguf.TokenType.NORMAL for number in range(len(pieces))]
    )
    writer.add_token_merges([" ".join(merge) for merge in said["model"]["merges"]])
    writer.add_bos_token_id(END)
    writer.add_add_bos_token(False)
    writer.add_eos_token_id(END)
    writer.add_eot_token_id(END)
    writer.add_pad_token_id(PAD)
    writer.add_chat_template(TEMPLATE)


def read(path: Path, tokenizer: Path) -> tuple[Shape, dict[str, Tensor]]:
    """The network of a GGUF file that `write` wrote, to go on training it; its tokenizer is written to a file."""
    reader = gguf.GGUFReader(str(path))

    def number(key: str) -> float:
        return reader.fields[f"llama.{key}"].contents()

    tensors = {tensor.name: tensor for tensor in reader.tensors}
    layers = int(number("block_count"))
    state = {}
    for ours, theirs in names(layers).items():
        tensor = tensors[theirs]
        state[ours] = torch.from_numpy(np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32))
    pieces = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    assembled(tokenizer, {piece: index for index, piece in enumerate(pieces)}, merges)
    shape = Shape(
        vocabulary=int(number("vocab_size")),
        width=int(number("embedding_length")),
        layers=layers,
        heads=int(number("attention.head_count")),
        feed=int(number("feed_forward_length")),
        context=int(number("context_length")),
        base=float(number("rope.freq_base")),
    )
    return shape, state
