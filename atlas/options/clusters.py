"""Options of clusterings."""

from __future__ import annotations

from dataclasses import dataclass

from atlas.errors import UsageError

INFOMAP, LEIDEN, LOUVAIN, SPECTRAL, BLOCKS = "infomap", "leiden", "louvain", "spectral", "block-model"
FACTORS, GRAPH_FACTORS, PROFILES, CONSENSUS, LOCAL = "nmf", "graph-nmf", "profiles", "consensus", "local"
LINKS, NESTED_BLOCKS = "links", "nested-block-model"
METHODS = (
    *(INFOMAP, LEIDEN, LOUVAIN, SPECTRAL, BLOCKS, NESTED_BLOCKS),
    *(FACTORS, GRAPH_FACTORS, PROFILES, CONSENSUS, LOCAL, LINKS),
)
OF_GROUPS = (CONSENSUS, GRAPH_FACTORS)  # methods that need the edges by group of prompts, not only the network
BY_TRIAL = (INFOMAP, LEIDEN, LOUVAIN, NESTED_BLOCKS)  # methods whose trials know nothing of each other
MODULARITY, UNDIRECTED, CPM = "modularity", "undirected", "cpm"
OBJECTIVES = (MODULARITY, UNDIRECTED, CPM)
ABSOLUTE, POSITIVE, SIGNED = "absolute", "positive", "layers"
SIGNS = (ABSOLUTE, POSITIVE, SIGNED)
KEEP, DAMP = "keep", "damp"
HUBS = (KEEP, DAMP)
MOST_CLUSTERS = 1000
FEWEST_DRAWS = 100  # networks of the null model: with fewer than 40 no p-value of several splits is below 0.05
# Names of the formulas from the statistics of an edge to its weight (never negative: flow has no sign).
WEIGHTS = (
    "mean_abs_weight_sq",
    "mean_abs_weight",
    "abs_weight_sum",
    "abs_mean_weight_sq",
    "abs_weight_graphs",
    "share",
    "lift",
    "npmi",
)


_SIZED = (FACTORS, GRAPH_FACTORS, PROFILES, LOCAL, LINKS)
# Methods that use an option; the others ignore it.
_USED_BY = {
    "two_level": (INFOMAP,),
    "markov_time": (INFOMAP, CONSENSUS),
    "objective": (LEIDEN, CONSENSUS),
    "resolution": (LEIDEN, LOUVAIN, CONSENSUS),
    "max_size": (LEIDEN, *_SIZED),
    "min_size": (CONSENSUS, *_SIZED),
    "clusters": (SPECTRAL, BLOCKS, FACTORS, GRAPH_FACTORS),
}


@dataclass(frozen=True)
class ClusterOptions:
    """Options of one clustering, a `[[cluster]]` of a recipe.

    Attributes:
        name: Name of the clustering in the atlas; the method where None.
        method: How to cluster, one of `METHODS`.
        weight: Formula of the weight of an edge, one of `WEIGHTS`.
        graphs: SQL condition on the graphs that are clustered, such as `graph_id = 12`; all graphs where None.
        min_count: Least number of links of an edge; the default is the number of the selected graphs where that is less.
        min_graphs: Least number of graphs that an edge is in.
        min_groups: Least number of groups of prompts that an edge is in; by the number of groups where None.
        max_graph_share: Largest share of the graphs that a neuron is in; others, such as those of templates, are left out.
        signs: `absolute` takes |weights|, `positive` only what is positive, `layers` (Leiden) puts negative edges apart.
        hubs: `keep`, or `damp`: divide each weight by the root of the strengths of its ends.
        above_null: Keep only edges that are stronger than the strengths of their ends in this pair of layers let expect.
        seed: Seed of the first trial.
        trials: Number of trials, of which the best is kept; in resamples it is 2 at most.
        two_level: Infomap: one level of clusters.
        markov_time: Infomap: larger values give larger clusters.
        objective: Leiden: `modularity` of the directed network, `undirected`, the same without directions and many times as fast, or `cpm`.
        resolution: Leiden, Louvain, consensus: larger values give smaller clusters.
        resolutions: Leiden, Louvain: resolutions to compare; the one whose clusters are most found again becomes `resolution`.
        max_size: Leiden: clusters with more neurons are divided again; profiles, NMF, local, links: largest circuit (80 where 0).
        min_size: Profiles, NMF, consensus, local, links: least number of neurons of a circuit.
        clusters: Spectral, block model, NMF: number of clusters; chosen by the method where None.
        trust: Measure how far the clusters can be trusted, where the statistics hold groups of prompts.
        seeds: Number of other seeds.
        resamples: Number of bootstraps of the groups of prompts.
        splits: Number of splits of the groups into halves.
        draws: Number of networks of the null model with the same layers and degrees; a fifth of profiles, and from a million edges on.
    """

    name: str | None = None
    method: str = INFOMAP
    weight: str = "mean_abs_weight_sq"
    graphs: str | None = None
    min_count: int = 5
    min_graphs: int = 1
    min_groups: int | None = None
    max_graph_share: float = 1.0
    signs: str = ABSOLUTE
    hubs: str = KEEP
    above_null: bool = False
    seed: int = 42
    trials: int = 20
    two_level: bool = False
    markov_time: float = 1.0
    objective: str = MODULARITY
    resolution: float = 1.0
    resolutions: tuple[float, ...] = ()
    max_size: int = 0
    min_size: int = 4
    clusters: int | None = None
    trust: bool = True
    seeds: int = 20
    resamples: int = 20
    splits: int = 10
    draws: int = 1000

    @property
    def title(self) -> str:
        """Name of the clustering in the atlas: `name`, or the method."""
        return self.name or self.method

    def groups_needed(self, groups: int) -> int:
        """Return the least number of groups of an edge, of a corpus with so many groups.

        Where `min_groups` is None, it is the root of a quarter of the groups, from 1 to 5: 1 below 16 groups, 3 of 36, 5 from
        100 on.

        Args:
            groups: Number of groups of prompts; 0 where it is not known.

        Returns:
            The least number.
        """
        return self.min_groups or max(1, min(5, int((groups / 4) ** 0.5)))

    def unused(self) -> list[str]:
        """Return what was given in vain.

        Returns:
            Names of the options that are not at their default and that the method does not use.
        """
        return [
            name
            for name, methods in _USED_BY.items()
            if getattr(self, name) != getattr(ClusterOptions, name) and self.method not in methods
        ]

    def check(self) -> ClusterOptions:
        """Check the options.

        Returns:
            The options.

        Raises:
            UsageError: One is invalid, which it names.
        """
        if self.method not in METHODS:
            raise UsageError(f"unknown clustering method {self.method!r}; there is {', '.join(METHODS)}")
        for key, known in (("weight", WEIGHTS), ("objective", OBJECTIVES), ("signs", SIGNS), ("hubs", HUBS)):
            if (given := getattr(self, key)) not in known:
                raise UsageError(f"unknown {key} {given!r}; choose {', '.join(known)}")
        if self.name is not None and (not self.name.strip() or set(self.name) & set("/:")):
            raise UsageError(f"name {self.name!r} must be a file name without / and :, which ids of circuits have")
        if self.resolutions and self.method not in (LEIDEN, LOUVAIN):
            raise UsageError(f"resolutions are compared of {LEIDEN} and {LOUVAIN}; {self.method} has none")
        if len(set(self.resolutions)) < len(self.resolutions):
            raise UsageError(f"resolutions has one value twice: {', '.join(map(str, self.resolutions))}")
        self._check_pairs()
        self._check_numbers()
        if self.signs == SIGNED and self.method != LEIDEN:
            raise UsageError(f"signs = {SIGNED!r} needs method {LEIDEN!r}; {self.method} has no layers of signs")
        return self

    def _check_pairs(self) -> None:
        if self.resolutions and self.resolution != ClusterOptions.resolution:
            raise UsageError("give one resolution, or resolutions to compare, not both")
        if self.signs == SIGNED and self.objective == UNDIRECTED:
            raise UsageError(f"signs = {SIGNED!r} takes objective {MODULARITY!r} or {CPM!r}, not {UNDIRECTED!r}")
        if 0 < self.max_size < self.min_size and self.method in _SIZED:
            raise UsageError(f"max_size ({self.max_size}) is less than min_size ({self.min_size}), so no circuit fits")
        if (self.clusters or 0) > MOST_CLUSTERS:
            raise UsageError(f"clusters must be from 2 to {MOST_CLUSTERS}, not {self.clusters}")

    def _check_numbers(self) -> None:
        numbers = [("resolution", self.resolution), ("markov_time", self.markov_time)]
        for key, value in [*numbers, *(("resolutions", one) for one in self.resolutions)]:
            if not 0 < value < float("inf"):
                raise UsageError(f"{key} must be above 0, not {value}")
        if not 0 < self.max_graph_share <= 1:
            raise UsageError(f"max_graph_share must be above 0 and at most 1, not {self.max_graph_share}")
        least = dict.fromkeys(("min_count", "min_graphs", "trials", "seed", "min_size", "resamples"), 1)
        # One split chooses, another measures.
        least |= {"draws": FEWEST_DRAWS, "splits": 2}
        for key, bound in {**least, "max_size": 0, "seeds": 0, "min_groups": 1, "clusters": 2}.items():
            value = getattr(self, key)
            if value is not None and not bound <= value < 2**31:
                told = "0 (no bound)" if key == "max_size" else bound
                raise UsageError(f"{key} must be from {told} to {2**31 - 1}, not {value}")


def least_count(options: ClusterOptions, graphs: float) -> float:
    """Return the least number of links of an edge.

    Args:
        options: `min_count`, and whether graphs are selected.
        graphs: Number of the graphs that are clustered.

    Returns:
        `min_count`; where it is the default, the number of the selected graphs if that is less, so that one graph has edges.
    """
    is_default = options.min_count == ClusterOptions.min_count
    return min(options.min_count, graphs) if options.graphs is not None and is_default else options.min_count
