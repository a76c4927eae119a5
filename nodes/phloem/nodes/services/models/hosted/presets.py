"""The providers that are known by name: where they are, which environment variables say so, what they take.

What a provider takes changes more often than programs do, so nothing here has to be exact: an optional field that a
server refuses is left out, and a way of holding an answer to a form that it refuses is followed by the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["ANY", "PRESETS", "Hold", "Preset"]

Hold = Literal["gbnf", "vllm", "schema", "object_schema", "object", "tool", "asked"]
"""How a server holds a model to a form: by a grammar of llama.cpp's, by vLLM's `structured_outputs`, by
`response_format` with a JSON Schema (`object_schema`: as llama-cpp-python and others take it), by JSON mode, by making
the model call a tool that takes the form, or not at all: the model is only asked."""

_COMMON: Final = {"max_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p", "stop": "stop"}
_LOCAL: Final = {**_COMMON, "seed": "seed", "logprobs": "top_logprobs"}


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of a provider.

    `url` is its base URL, empty where it has no one address; `url_variables` may hold another. `key_variables`
    are where its key is looked for, in this order: those that the provider documents. `takes` names the
    settings of Sampling that it takes, each with its own name for it. `holds` are its ways with forms, best
    first. `usage` says that a stream has to be asked to tell what it cost. `prices` is its name in the price
    table. A `near` one is a server of the user's own, which needs no key.
    """

    name: str
    url: str = ""
    key_variables: tuple[str, ...] = ()
    url_variables: tuple[str, ...] = ()
    protocol: Literal["openai", "anthropic"] = "openai"
    takes: Mapping[str, str] = field(default_factory=lambda: _LOCAL)
    holds: tuple[Hold, ...] = ("schema", "object", "asked")
    usage: bool = True
    prices: str = ""
    near: bool = False


ANY: Final = Preset("", holds=("schema", "object_schema", "object", "asked"))
"""A server that is known only by its address."""

_OPENAI: Final = {**_LOCAL, "max_tokens": "max_completion_tokens"}
_LLAMA: Final = {**_LOCAL, "top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repeat_penalty"}
_VLLM: Final = {**_LLAMA, "repeat_penalty": "repetition_penalty"}

_ALL: Final = (
    # https://github.com/openai/openai-python#usage and its reference of chat completions
    Preset(
        "openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), ("OPENAI_BASE_URL",), takes=_OPENAI, prices="openai"
    ),
    # https://docs.anthropic.com/en/api/messages
    Preset(
        "anthropic",
        "https://api.anthropic.com",
        ("ANTHROPIC_API_KEY",),
        ("ANTHROPIC_BASE_URL",),
        protocol="anthropic",
        takes={**_COMMON, "top_k": "top_k", "stop": "stop_sequences"},
        holds=("tool", "asked"),
        prices="anthropic",
    ),
    # https://ai.google.dev/gemini-api/docs/openai
    Preset(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        takes=_COMMON,
        prices="google",
    ),
    # https://docs.ollama.com/api/openai-compatibility
    Preset("ollama", "http://localhost:11434/v1", ("OLLAMA_API_KEY",), ("OLLAMA_HOST",), near=True),
    # https://lmstudio.ai/docs/developer/openai-compat
    Preset(
        "lmstudio",
        "http://localhost:1234/v1",
        ("LM_API_TOKEN",),
        ("LMSTUDIO_BASE_URL",),
        takes={**_COMMON, "seed": "seed", "top_k": "top_k", "repeat_penalty": "repeat_penalty"},
        near=True,
    ),
    # https://github.com/ggml-org/llama.cpp/tree/master/tools/server
    Preset(
        "llama-server",
        "http://localhost:8080/v1",
        ("LLAMA_API_KEY",),
        ("LLAMA_SERVER_URL",),
        takes=_LLAMA,
        holds=("gbnf", "schema", "asked"),
        near=True,
    ),
    # https://docs.vllm.ai/en/latest/features/structured_outputs/
    Preset(
        "vllm",
        "http://localhost:8000/v1",
        ("VLLM_API_KEY",),
        ("VLLM_BASE_URL",),
        takes=_VLLM,
        holds=("vllm", "schema", "asked"),
        near=True,
    ),
    # https://console.groq.com/docs/openai: log probabilities are an error there
    Preset(
        "groq",
        "https://api.groq.com/openai/v1",
        ("GROQ_API_KEY",),
        takes={**_COMMON, "seed": "seed"},
        prices="groq",
    ),
    # https://docs.mistral.ai/api: a field that it does not know is an error; its streams tell their usage unasked
    Preset(
        "mistral",
        "https://api.mistral.ai/v1",
        ("MISTRAL_API_KEY",),
        takes={**_COMMON, "seed": "random_seed"},
        usage=False,
        prices="mistral",
    ),
    # https://api-docs.deepseek.com/api/create-chat-completion
    Preset(
        "deepseek",
        "https://api.deepseek.com/v1",
        ("DEEPSEEK_API_KEY",),
        takes={**_COMMON, "logprobs": "top_logprobs"},
        holds=("object", "asked"),
        prices="deepseek",
    ),
    # https://openrouter.ai/docs/api-reference/parameters
    Preset(
        "openrouter",
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_API_KEY",),
        takes=_VLLM,
        prices="openrouter",
    ),
    # https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle
    Preset(
        "azure",
        "",
        ("AZURE_OPENAI_API_KEY",),
        ("AZURE_OPENAI_ENDPOINT",),
        takes=_OPENAI,
        prices="azure",
    ),
)

PRESETS: Final[Mapping[str, Preset]] = {preset.name: preset for preset in _ALL}
