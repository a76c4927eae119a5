"""Flow kinds: what runs, how often, and when."""

from phloem.nodes.flow.branches import if_, merge, require, switch
from phloem.nodes.flow.each import each
from phloem.nodes.flow.once import call, group
from phloem.nodes.flow.repeat import repeat
from phloem.nodes.flow.wait import wait

__all__ = ["call", "each", "group", "if_", "merge", "repeat", "require", "switch", "wait"]
