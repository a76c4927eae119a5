"""Which type one execution of a node sees where the node runs once per item of a list."""

from __future__ import annotations

from collections.abc import Mapping

from phloem.runtime.ports import LinkFit, Port, PortType, join_link

__all__ = ["along", "goes_along", "item_types"]


def goes_along(inputs: Mapping[str, Port], name: str) -> bool:
    port = inputs.get(name)
    return port is not None and port.maps == "along"


def along(source: PortType, maps: int) -> LinkFit:
    """How a value enters a port that maps only when others do."""
    return LinkFit(maps) if source.depth >= maps else LinkFit()


def item_types(inputs: Mapping[str, Port], types: Mapping[str, PortType]) -> dict[str, PortType]:
    """`types` as one execution sees them: of what the node maps over, one item's."""
    fits = {name: join_link(types[name], inputs[name]) for name in types if name in inputs}
    maps = max((fit.maps for fit in fits.values() if isinstance(fit, LinkFit)), default=0)
    found = dict(types)
    for name, fit in fits.items():
        down = along(types[name], maps) if goes_along(inputs, name) else fit
        if isinstance(down, LinkFit) and down.maps:
            found[name] = PortType(types[name].base, types[name].depth - down.maps)
    return found
