"""Queries about the graphs of an atlas: one typed method per file of queries/, a part of the client."""

from __future__ import annotations

import duckdb

from atlas.query.attribution_graph import AttributionGraph, load_graph
from atlas.query.connection import AtlasFile


class GraphQueries(AtlasFile):
    """Methods of `Atlas` about single graphs and groups of prompts."""

    def graphs(self, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the graphs of the atlas, with their prompts.

        Args:
            limit: Number of rows at most.

        Returns:
            graph_id, path, prompt, prompt_group, neuron_count, link_count, kept_count, dropped_count.
        """
        return self.query("graphs", limit=limit)

    def graph(self, name: str | int) -> AttributionGraph:
        """Load one graph, with its nodes and links.

        Args:
            name: Number of the graph, or a part of its path, slug or prompt that no other graph has.

        Returns:
            The graph; its methods find strongest paths and the influence of nodes.

        Raises:
            InputError: There is no such graph, or the atlas holds no links of graphs.
        """
        return load_graph(self, str(name))

    def graph_nodes(self, graph_id: int) -> duckdb.DuckDBPyRelation:
        """Return the nodes of a graph that the atlas embeds, with their tokens and labels.

        Args:
            graph_id: Number of the graph.

        Returns:
            node, kind, neuron_id, layer, neuron, token_id, position, activation, influence, probability, token, label,
            cluster_path.
        """
        return self.query("graph_nodes", graph_id=graph_id)

    def graph_links(self, graph_id: int, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the links of a graph that the atlas embeds, strongest first.

        Args:
            graph_id: Number of the graph.
            limit: Number of rows at most.

        Returns:
            source, target, weight.
        """
        return self.query("graph_links", graph_id=graph_id, limit=limit)

    def unusual_neurons(self, graph_id: int, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the neurons of a graph that few other groups of prompts contain, most surprising first.

        Args:
            graph_id: Number of the graph.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, cluster_path, other_group_count, other_groups, surprise, positions,
            activation_max.
        """
        return self.query("unusual_neurons", graph_id=graph_id, limit=limit)

    def unusual_edges(self, graph_id: int, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the edges of a graph that are rare where both ends are present, most surprising first.

        Args:
            graph_id: Number of the graph.
            limit: Number of rows at most.

        Returns:
            src_id, tgt_id, src_layer, src_neuron, src_label, tgt_layer, tgt_neuron, tgt_label, weight, other_group_count,
            joint_group_count, surprise.
        """
        return self.query("unusual_edges", graph_id=graph_id, limit=limit)

    def missing_neurons(self, graph_id: int, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the neurons that at least half of the other groups contain and a graph lacks, most common first.

        Args:
            graph_id: Number of the graph.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, cluster_path, other_group_count, other_groups.
        """
        return self.query("missing_neurons", graph_id=graph_id, limit=limit)

    def prompt_groups(self, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the groups of prompts, largest first.

        Args:
            limit: Number of rows at most.

        Returns:
            group_id, prompt_group, group_rule, graph_count, share, example.
        """
        return self.query("prompt_groups", limit=limit)

    def shared_neurons(self, first: int, second: int, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the neurons of two graphs: those of both first, rare ones before usual ones, then those of one alone.

        Args:
            first: Number of a graph.
            second: Number of another.
            limit: Number of rows at most.

        Returns:
            neuron_id, label, in_first, in_second, graph_count, graph_share.
        """
        return self.query("shared_neurons", first=first, second=second, limit=limit)

    def graph_sets(self, graphs: str, others: str, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the neurons of two sets of graphs with the share of each that contains them, largest difference first.

        Args:
            graphs: A group of prompts by its name, or numbers of graphs, such as "1, 4, 9".
            others: Another.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, cluster_path, first_count, first_total, second_count, second_total, difference (of the shares).
        """
        return self.query("graph_sets", graphs=graphs, others=others, limit=limit)
