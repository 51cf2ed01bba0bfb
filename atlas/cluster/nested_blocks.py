"""Nested degree-corrected stochastic block model of a directed network, fitted by graph-tool where that is installed.

Blocks are grouped by blocks of blocks, level by level, as far as each level makes the description shorter (Peixoto 2014). graph-tool is not on
PyPI; conda and Debian have it. Weights do not count; thresholds of the network do.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from atlas.cluster.network import Network
from atlas.cluster.partition import ModulePath, Partition
from atlas.errors import UsageError
from atlas.options import ClusterOptions
from atlas.stages.resamples import Ints


def partition(network: Network, options: ClusterOptions, *, seed: int, trials: int) -> Partition:
    """Return the module path of every neuron, the largest blocks first; the quality is the negative description length, in bits per link.

    Args:
        network: Network to cluster.
        options: Not used; the model chooses the numbers of blocks and levels.
        seed: Seed of the first trial; each trial has the next one.
        trials: Number of trials, of which the shortest description is kept.

    Returns:
        The partition.

    Raises:
        UsageError: graph-tool is not installed.
    """
    del options
    try:
        tool, inference = (importlib.import_module(name) for name in ("graph_tool", "graph_tool.inference"))
    except ImportError:
        raise UsageError(
            "the method nested-block-model needs graph-tool, which pip does not install: conda install -c conda-forge graph-tool, or Debian's "
            "python3-graph-tool; block-model needs neither"
        ) from None
    # More threads would draw in another order.
    tool.openmp_set_num_threads(1)
    graph = tool.Graph(directed=True)
    graph.add_vertex(len(network.neurons))
    graph.add_edge_list(np.stack([network.source, network.target], 1))
    shortest, best = math.inf, None
    for trial in range(trials):
        tool.seed_rng(seed + trial)
        state = inference.minimize_nested_blockmodel_dl(graph, state_args={"deg_corr": True})
        if state.entropy() < shortest:
            shortest, best = state.entropy(), state
    assert best is not None  # there is at least one trial
    paths = paths_of([_numbers(blocks) for blocks in best.get_bs()])
    return Partition(paths, [None] * len(paths), quality=-shortest / math.log(2) / max(1, len(network.source)))


def _numbers(blocks: Any) -> Ints:
    found: Ints = np.asarray(getattr(blocks, "a", blocks)).astype(np.int64)
    return found


def paths_of(levels: Sequence[Ints]) -> list[ModulePath]:
    """Return the paths of neurons in nested blocks.

    Args:
        levels: Block of every neuron, then the block of every block, and so on.

    Returns:
        Path of every neuron from the coarsest level of more than one block down; siblings are numbered by size.
    """
    labels = [levels[0]]
    for blocks in levels[1:]:
        labels.append(blocks[labels[-1]])
    # A level that divides nothing is none.
    kept = [
        one for place, one in enumerate(labels) if not place or len(np.unique(one)) < len(np.unique(labels[place - 1]))
    ]
    while len(kept) > 1 and len(np.unique(kept[-1])) == 1:
        kept.pop()
    paths: list[ModulePath] = [()] * len(levels[0])
    for blocks in reversed(kept):
        keys = list(zip(paths, blocks.tolist(), strict=True))
        members: dict[tuple[ModulePath, int], int] = {}
        for key in keys:
            members[key] = members.get(key, 0) + 1
        order = sorted(members, key=lambda key: (key[0], -members[key], key[1]))
        count: dict[ModulePath, int] = {}
        number: dict[tuple[ModulePath, int], int] = {}
        for key in order:
            count[key[0]] = number[key] = count.get(key[0], 0) + 1
        paths = [(*key[0], number[key]) for key in keys]
    return paths
