"""Language-model kinds: those that have a model write, and those that have it read.

`wording` has the settings that they share, `answers` what they ask and what comes back, `conversations` what fits
into a model, `estimates` what they would spend.
"""

from phloem.nodes.llm.reading import count, embed, messages, rerank
from phloem.nodes.llm.writing import chat, generate, structured

__all__ = ["chat", "count", "embed", "generate", "messages", "rerank", "structured"]
