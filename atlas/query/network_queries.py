"""Queries about the network: hubs, recurring edges, subgraphs, motifs, and weights between groups of neurons."""

from __future__ import annotations

import duckdb

from atlas.query.connection import AtlasFile
from atlas.query.criteria import NeuronsLike


class NetworkQueries(AtlasFile):
    """Methods of `Atlas` about the edges of many neurons."""

    def hubs(self, *, min_share: float | None = None, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the neurons with the most edges.

        Args:
            min_share: Minimum share of the graphs that contain the neuron.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, in_degree, out_degree, degree, graph_count, graph_share, top_cluster.
        """
        return self.query("hubs", min_share=min_share, limit=limit)

    def constellation(self, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return neurons on a map, most frequent first: a disc for each top cluster, its most frequent neurons inside.

        Args:
            limit: Number of neurons at most; 50,000 where None.

        Returns:
            neuron_id, layer, label, graph_count, top_cluster, half_agreement, x, y.
        """
        return self.query("constellation", limit=limit)

    def recurring_edges(
        self, *, within: NeuronsLike | None = None, min_share: float | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the edges that come back in the largest share of the graphs.

        Args:
            within: Only edges between neurons of this set.
            min_share: Minimum share of the graphs that have the edge.
            limit: Number of rows at most.

        Returns:
            src_id, tgt_id, src_label, tgt_label, graph_count, graph_share, group_count, conditional_frequency, mean_weight.
        """
        return self.query("recurring_edges", within=within, min_share=min_share, limit=limit)

    def pathways(
        self,
        starts: NeuronsLike,
        ends: NeuronsLike,
        *,
        max_hops: int | None = None,
        min_graphs: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return the edges on any path from one set of neurons to another: the subgraph between them.

        Args:
            starts: Where paths start.
            ends: Where they end.
            max_hops: Number of edges of a path at most; 3 where None.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            src_id, tgt_id, src_label, tgt_label, hops_from_start (fewest edges from a start to the source), hops_to_end (from the target to
            an end), graph_count, group_count, mean_weight, target_share (of all |weights| into the target).
        """
        return self.query("pathways", starts=starts, ends=ends, max_hops=max_hops, min_graphs=min_graphs, limit=limit)

    def grow(
        self,
        chosen: NeuronsLike,
        *,
        hops: int | None = None,
        min_graphs: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return the edges among a set of neurons and those within some edges of it, in both directions.

        Args:
            chosen: Set of neurons.
            hops: How far the set grows; 1 where None, 0 for the edges inside the set.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            src_id, tgt_id, src_label, tgt_label, src_hops, tgt_hops (fewest edges to the set), graph_count, group_count, mean_weight,
            target_share (of all |weights| into the target).
        """
        return self.query("grow", chosen=chosen, hops=hops, min_graphs=min_graphs, limit=limit)

    def triangles(
        self,
        *,
        first: NeuronsLike | None = None,
        second: NeuronsLike | None = None,
        third: NeuronsLike | None = None,
        sign: str | None = None,
        min_graphs: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return triangles A -> B -> C with A -> C, those with the strongest weakest edge first.

        Args:
            first: What A may be.
            second: What B may be.
            third: What C may be.
            sign: `coherent` (the sign of A -> C is the product of the other two) or `incoherent`.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            a_id, b_id, c_id, a_label, b_label, c_label, ab_weight, bc_weight, ac_weight (signed means), sign, strength (mean absolute weight
            of the weakest edge), graph_count (of the rarest edge).
        """
        sets = {"first": first, "second": second, "third": third}
        return self.query("triangles", **sets, sign=sign, min_graphs=min_graphs, limit=limit)

    def motifs(self, *, within: NeuronsLike | None = None, min_graphs: int | None = None) -> duckdb.DuckDBPyRelation:
        """Count the motifs of three neurons, beside what random partners give.

        The null keeps the number of edges of every neuron to and from each layer, and chooses partners at random (Chung and
        Lu 2002, per pair of layers). Edges within a layer do not count.

        Args:
            within: Only edges between neurons of this set.
            min_graphs: Minimum number of graphs of an edge.

        Returns:
            motif (triangle, chain, fan-in, fan-out), shape, motif_count, expected_count, ratio, saturated_share (share of the expected edges
            that would be second edges of a pair; above a few percent, too many triangles are expected).
        """
        return self.query("motifs", within=within, min_graphs=min_graphs)

    def flow(self, by: str, *, min_graphs: int | None = None, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the weight of the edges between groups of neurons, largest first.

        Args:
            by: What groups the neurons: `layer`, `circuit` (top cluster), or of the label shown, its `type`, `kind` or `source`.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            src_group, tgt_group, edge_count, link_count, weight_sum, weight_abs_sum.
        """
        return self.query("flow", by=by, min_graphs=min_graphs, limit=limit)

    def profile(
        self,
        chosen: NeuronsLike,
        *,
        top: int | None = None,
        min_graphs: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return the strongest inputs and outputs of every neuron of a set: its edge profile.

        Args:
            chosen: Set of neurons.
            top: Number of edges of each direction at most; 10 where None.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            neuron_id, direction (input or output), rank, other_id, other_label, count, graph_count, mean_weight, mean_abs_weight,
            target_share (of all |weights| into the target).
        """
        return self.query("profile", chosen=chosen, top=top, min_graphs=min_graphs, limit=limit)

    def label_stats(self) -> duckdb.DuckDBPyRelation:
        """Return counts of labels by source and kind.

        Returns:
            source, kind, label_count, neuron_count, neurons_in_atlas, coverage (share of the neurons of the atlas), distinct_count (different
            texts), uninformative_count, shown_count, median_length, median_score.
        """
        return self.query("label_stats")
