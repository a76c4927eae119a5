"""The one door from a node to the outside world.

Every node function that touches anything takes a Context first. Each of its parts asks Permissions
before it asks the service, so a grant that is missing is missed here and nowhere else.
"""

from phloem.runtime.context.collections import Collections
from phloem.runtime.context.context import Context
from phloem.runtime.context.files import Files
from phloem.runtime.context.http import Http
from phloem.runtime.context.models import Models
from phloem.runtime.context.scope import DEFAULT_EMBEDDING, DEFAULT_MODEL, Scope, Services

__all__ = [
    "DEFAULT_EMBEDDING",
    "DEFAULT_MODEL",
    "Collections",
    "Context",
    "Files",
    "Http",
    "Models",
    "Scope",
    "Services",
]
