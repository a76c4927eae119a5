"""Runs on more processes than their own, and on other machines, through Dask.

    Place     what `--on` says
    Cluster   the workers, for the runs of an engine: `takes` tells which calls go there, `call` makes one
    Call      one such call, as the run's side knows it; Loads hand them out, a Desk is the way to a worker
    Host      what a worker process has for every run; Session what it does for one
    AwayContext   what a node is given there

Only `dask` and what a worker runs import Dask, and nothing imports this package but a run with `--on`.
"""

from phloem.runtime.cluster.cluster import Cluster
from phloem.runtime.cluster.place import Place

__all__ = ["Cluster", "Place"]
