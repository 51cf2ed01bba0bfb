"""Queries of sets of neurons: which they are, what joins them, and what is like them."""

from __future__ import annotations

import duckdb

from atlas.query.connection import AtlasFile
from atlas.query.criteria import NeuronsLike


class SetQueries(AtlasFile):
    """Queries that take sets of neurons: `atlas.Neurons(...)`, an expression as text, a neuron, or several."""

    def find(self, chosen: NeuronsLike, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the neurons of a set, most frequent first.

        Args:
            chosen: Set of neurons.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, graph_count, group_count, in_degree, out_degree, cluster_path.
        """
        return self.query("find", chosen=chosen, limit=limit)

    def adjacency(
        self, starts: NeuronsLike, ends: NeuronsLike, *, min_graphs: int | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the edges from one set of neurons to another, strongest first.

        Args:
            starts: Sources.
            ends: Targets.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            src_id, tgt_id, src_label, tgt_label, graph_count, group_count, count, mean_weight, weight_sum, weight_abs_sum,
            target_share (of all |weights| into the target).
        """
        return self.query("adjacency", starts=starts, ends=ends, min_graphs=min_graphs, limit=limit)

    def common_partners(
        self,
        chosen: NeuronsLike,
        *,
        direction: str | None = None,
        min_partners: int | None = None,
        min_graphs: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return the neurons that drive several neurons of a set, or that several drive, those of most first.

        Args:
            chosen: Set of neurons.
            direction: `inputs` or `outputs`; both where None.
            min_partners: Minimum number of neurons of the set; 2 where None.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            direction, neuron_id, label, partner_count, partner_share, weight_sum, weight_abs_sum.
        """
        return self.query(
            "common_partners",
            chosen=chosen,
            direction=direction,
            min_partners=min_partners,
            min_graphs=min_graphs,
            limit=limit,
        )

    def strongest_paths(
        self,
        starts: NeuronsLike,
        ends: NeuronsLike,
        *,
        max_hops: int | None = None,
        by: str | None = None,
        min_graphs: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return the strongest paths from one set of neurons to another.

        Args:
            starts: Where paths start.
            ends: Where they end.
            max_hops: Number of edges of a path at most; 3 where None.
            by: `product` of the shares of the edges in all |weights| into their targets, or `bottleneck`, the smallest share.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of paths at most; 20 where None.

        Returns:
            rank, hop_count, path (neuron ids), strength (with the sign of the path), graph_count (graphs that have all of its links; NULL
            where the atlas holds no links of graphs).
        """
        return self.query(
            "strongest_paths",
            starts=starts,
            ends=ends,
            max_hops=max_hops,
            by=by,
            min_graphs=min_graphs,
            limit=limit,
        )

    def similar_neurons(
        self, chosen: NeuronsLike, *, by: str | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the neurons that are most like those of a set, largest cosine first.

        Args:
            chosen: Set of neurons.
            by: What is compared: `inputs` or `outputs` (sums of the weights of edges), `both` (the mean of the two cosines), `graphs`
                (those that a neuron is in), `weights` (connections by weights alone) or `labels` (their words, rare ones more); both where None.
            limit: Number of rows at most; 20 where None.

        Returns:
            neuron_id, layer, neuron, label, near_id (the neuron of the set), cosine, input_cosine, output_cosine, shared_count (partners,
            graphs or words of both), control_share (share of other neurons of the layer with half to twice as many edges that are as similar).
        """
        return self.query("similar_neurons", chosen=chosen, by=by, limit=limit)

    def reach(
        self,
        chosen: NeuronsLike,
        *,
        direction: str | None = None,
        max_hops: int | None = None,
        min_graphs: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return the neurons that a set reaches, or that reach it, those with the fewest edges between first.

        Args:
            chosen: Set of neurons.
            direction: `downstream` or `upstream`; downstream where None.
            max_hops: Number of edges at most; 2 where None.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, hop_count, graph_count.
        """
        return self.query(
            "reach", chosen=chosen, direction=direction, max_hops=max_hops, min_graphs=min_graphs, limit=limit
        )

    def path_lengths(
        self,
        chosen: NeuronsLike,
        *,
        max_hops: int | None = None,
        min_graphs: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return the fewest edges from every neuron of a set to every other that it reaches.

        Args:
            chosen: Set of neurons.
            max_hops: Number of edges at most; 4 where None.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            src_id, tgt_id, hop_count.
        """
        return self.query("path_lengths", chosen=chosen, max_hops=max_hops, min_graphs=min_graphs, limit=limit)
