"""Models of sentence-transformers, with the extra of that name: vectors of any model, and reranking.

`service` is the backend. It finds the model's folder (`folders`) and hands the work to its `owner`, a thread that
has it `loaded`; `shelf` keeps the owners. PyTorch takes seconds to start, so `local:` models are the default.
"""

from phloem.nodes.services.models.sentence.service import SentenceModels

__all__ = ["SentenceModels"]
