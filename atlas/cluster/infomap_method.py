"""Infomap: the partition that describes a random walk on the network in the fewest bits.

The map equation is that of Rosvall & Bergstrom 2008 (two levels) and 2011 (many levels). Flow is directed. Teleportation goes to
links in proportion to their weight, with probability 0.15, and is not recorded: with recorded teleportation, networks of this kind
are one module. The Markov time is that of Kheirkhahzadeh, Lancichinetti & Rosvall 2016.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from atlas.cluster.network import Network
from atlas.cluster.partition import Partition
from atlas.errors import needs_extra
from atlas.options import ClusterOptions


def partition(network: Network, options: ClusterOptions, *, seed: int, trials: int) -> Partition:
    """Return the module path (1-based, siblings ordered by flow) and flow of every neuron; a seed repeats the result.

    Raises `MissingExtra` where infomap is not installed.
    """
    with needs_extra("cluster"):
        import infomap
    net: Any = infomap.Network.from_edge_index(
        np.stack([network.source, network.target]),
        edge_weight=network.weight,
        num_nodes=len(network.neurons),
        directed=True,
    )
    given = infomap.Options(flow_model="directed", markov_time=options.markov_time)
    result = infomap.run(net, options=given, seed=seed, num_trials=trials, two_level=options.two_level)
    paths: list[tuple[int, ...]] = [()] * len(network.neurons)
    flows = [0.0] * len(network.neurons)
    for node in result.nodes():
        # The path of a leaf ends in its rank inside its module; that last number is not a module.
        paths[node.node_id] = tuple(int(part) for part in node.path[:-1])
        flows[node.node_id] = float(node.flow)
    return Partition(paths, flows, float(result.codelength), float(result.one_level_codelength))
