"""What a workflow may touch: the grants a user gave, and the one place that compares a wish with them."""

from phloem.runtime.grants.grant import WORDS, Grant
from phloem.runtime.grants.hosts import host_of, is_url
from phloem.runtime.grants.models import LOCAL_PROVIDERS, names_server, provider_of
from phloem.runtime.grants.permissions import Permissions
from phloem.runtime.grants.rules import Denial, Rules

__all__ = [
    "LOCAL_PROVIDERS",
    "WORDS",
    "Denial",
    "Grant",
    "Permissions",
    "Rules",
    "host_of",
    "is_url",
    "names_server",
    "provider_of",
]
