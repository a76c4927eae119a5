"""Results of earlier runs, by what they depend on; and the stored form of values, which the journal shares."""

from phloem.runtime.cache.cache import Cache
from phloem.runtime.cache.entry import Entry
from phloem.runtime.cache.stored import INLINE_LIMIT, Stored, store, value_file

__all__ = ["INLINE_LIMIT", "Cache", "Entry", "Stored", "store", "value_file"]
