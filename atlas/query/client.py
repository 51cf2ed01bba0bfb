"""Python client of an atlas: one typed method per file of queries/, each returning a DuckDB relation."""

from __future__ import annotations

from typing import Any

import duckdb

from atlas.errors import UsageError
from atlas.query.activation_queries import ActivationQueries
from atlas.query.cards import Cards
from atlas.query.catalogue import Neuron, as_neuron
from atlas.query.criteria import NeuronsLike
from atlas.query.graph_queries import GraphQueries
from atlas.query.network_queries import NetworkQueries
from atlas.query.objects import Objects
from atlas.query.token_queries import TokenQueries


class Atlas(GraphQueries, ActivationQueries, Cards, Objects, NetworkQueries, TokenQueries):
    """Atlas file, opened read-only with external access disabled.

    Every method returns a `duckdb.DuckDBPyRelation`. Read it with `.pl()`, `.arrow()`, `.df()` or `.fetchall()`, or
    run further SQL on it. Rows come in a stated order; a `limit` of None means all rows. Methods may be called from
    several threads: each call runs on its own cursor.
    """

    def neurons(
        self,
        *,
        layer: int | None = None,
        top_cluster: int | None = None,
        labelled: bool | None = None,
        template: bool | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return neurons, most frequent first.

        Args:
            layer: Neurons of this layer.
            top_cluster: Neurons of this cluster of the top level.
            labelled: True for neurons with a label, False for those without.
            template: True for neurons that come with the form of the prompts, False for the others.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, graph_count, group_count, node_count, in_degree, out_degree, max_activation,
            cluster_path, infomap_flow.
        """
        return self.query(
            "neurons", layer=layer, top_cluster=top_cluster, labelled=labelled, template=template, limit=limit
        )

    def neuron(self, neuron: Neuron) -> duckdb.DuckDBPyRelation:
        """Return one neuron: one row, or no row where it is in no graph.

        Args:
            neuron: `L24/N5326` or (24, 5326).

        Returns:
            neuron_id, layer, neuron, unit_type, label, description, input_label, output_label,
            graph_count, node_count, in_degree, out_degree, min_activation, max_activation, mean_activation,
            mean_influence, cluster_path, infomap_flow.
        """
        return self._of("neuron", neuron)

    def upstream(
        self, neuron: Neuron, *, min_graphs: int | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the neurons that drive a neuron, strongest mean absolute weight first.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, cluster_path, count, graph_count, group_count, target_share (of all |weights| into the
            target), frequency, positive_share, mean_weight, mean_abs_weight, std_weight, weight_min, weight_max, method.
        """
        return self._of("upstream", neuron, min_graphs=min_graphs, limit=limit)

    def downstream(
        self, neuron: Neuron, *, min_graphs: int | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the neurons that a neuron drives, strongest mean absolute weight first.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            The columns of `upstream`.
        """
        return self._of("downstream", neuron, min_graphs=min_graphs, limit=limit)

    def paths_between(self, source: Neuron, target: Neuron, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the direct edge from one neuron to another, and all paths through one intermediate neuron.

        Args:
            source: First neuron, `L24/N5326` or (24, 5326).
            target: Last neuron, in the same form.
            limit: Number of rows at most.

        Returns:
            hop_count (1 or 2), via_id, via_layer, via_neuron, via_label, graph_count (of the rarer edge),
            first_weight, second_weight (signed means), strength (mean absolute weight of the weaker edge).
        """
        return self._of_edge("paths_between", source, target, limit=limit)

    def edge(self, source: Neuron, target: Neuron) -> duckdb.DuckDBPyRelation:
        """Return one edge with everything that is known of it: one row, or no row where there is none.

        Args:
            source: Neuron that drives, `L24/N5326` or (24, 5326).
            target: Neuron that is driven, in the same form.

        Returns:
            src_id, tgt_id, src_label, tgt_label, src_cluster_path, tgt_cluster_path, count, graph_count, group_count, frequency,
            joint_graph_count, conditional_frequency, lift, npmi, positive_share, mean_weight, mean_abs_weight, std_weight, weight_min,
            weight_max, mean_weight_all, mean_share, strong_graph_count, strong_group_count, mean_derivative, same_sign_share,
            same_position_count, joint_group_count, association_p, method, evidence, predicted, upstream_rank, downstream_rank, same_sign.
        """
        return self._of_edge("edge", source, target)

    def edge_graphs(self, source: Neuron, target: Neuron, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the graphs that have an edge, strongest first; no row where the links of single graphs are not in the file.

        Args:
            source: Neuron that drives, `L24/N5326` or (24, 5326).
            target: Neuron that is driven, in the same form.
            limit: Number of rows at most.

        Returns:
            graph_id, prompt, prompt_group, link_count, weight (sum over the positions of the graph).
        """
        return self._of_edge("edge_graphs", source, target, limit=limit)

    def search(
        self, words: str, *, within: NeuronsLike | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Find neurons by the words of their labels and descriptions, best first.

        Words may come in any order, as beginnings or parts of words; text in double quotes is a phrase. Where no label
        has all words, those with most of them are found; a word that no label has stands for the nearest one. Text without
        anything to look for raises `UsageError`.

        Args:
            words: What to look for, in any case.
            within: Only neurons of this set.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, text (of the label that matches best), kind, source, cluster_path, graph_count, max_activation,
            score (BM25F: Robertson, Zaragoza and Taylor 2004), terms (words of the label that were taken for those looked for).
        """
        if not words.strip():
            raise UsageError("search: say what to look for; all labels are in the table labels")
        return self.query("search", words=words, within=within, limit=limit)

    def labels(self, neuron: Neuron) -> duckdb.DuckDBPyRelation:
        """Return every label of one neuron of the atlas, the one shown first, uninformative ones last.

        Args:
            neuron: `L24/N5326` or (24, 5326).

        Returns:
            rank, kind, text, description, source, sources, model, confidence, score, is_uninformative, file.
        """
        return self._of("labels", neuron)

    def cooccurring(
        self, neuron: Neuron, *, min_graphs: int | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the neurons that are in the same graphs as a neuron, highest NPMI first.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            min_graphs: Minimum number of shared graphs.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, cluster_path, rank, joint_graph_count, share, lift, pmi, npmi.
        """
        return self._of("cooccurring", neuron, min_graphs=min_graphs, limit=limit)

    def tokens_in(self, neuron: Neuron, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the input tokens that drive a neuron, strongest first.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            limit: Number of rows at most.

        Returns:
            token_id, token, count, graph_count, mean_weight, mean_abs_weight, weight_min, weight_max.
        """
        return self._of("tokens_in", neuron, limit=limit)

    def logits_out(self, neuron: Neuron, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the output tokens that a neuron promotes or suppresses, strongest first.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            limit: Number of rows at most.

        Returns:
            The columns of `tokens_in`.
        """
        return self._of("logits_out", neuron, limit=limit)

    def projection(
        self, neuron: Neuron, *, kind: str | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the tokens that the weights of a neuron promote, suppress or read.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            kind: `output`, `input_up` or `input_gated`; all where None.
            limit: Number of rows at most.

        Returns:
            projection_kind, direction, rank, token_id, token, weight.
        """
        return self._of("projection", neuron, kind=kind, limit=limit)

    def exemplars(self, neuron: Neuron, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the places in a corpus where a neuron fires most, strongest first.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            limit: Number of rows at most.

        Returns:
            activation, token, context, rank, position, prompt_path.
        """
        return self._of("exemplars", neuron, limit=limit)

    def graphs_of(self, neuron: Neuron, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the graphs in which a neuron is a node, strongest activation first.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            limit: Number of rows at most.

        Returns:
            graph_id, path, prompt, positions, tokens, activation_min, activation_max, influence_min, influence_max.
        """
        return self._of("graphs_of", neuron, limit=limit)

    def reports(self, neuron: Neuron, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return findings of investigations of a neuron, by kind and file.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            limit: Number of rows at most.

        Returns:
            summary, kind, function_type, verdict, file.
        """
        return self._of("reports", neuron, limit=limit)

    def report_evidence(self, neuron: Neuron, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the evidence of the investigations of a neuron, by kind and file.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            limit: Number of rows at most.

        Returns:
            kind, rank, prompt, token, other_id, value, text, file.
        """
        return self._of("report_evidence", neuron, limit=limit)

    def circuits_of(self, neuron: Neuron, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the circuits that a neuron is in: of every clustering, and of tokens.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            limit: Number of rows at most.

        Returns:
            circuit_id, kind, name, size, role, confidence, is_found_again, half_agreement, null_p.
        """
        return self._of("circuits_of", neuron, limit=limit)

    def data_card(self) -> duckdb.DuckDBPyRelation:
        """Return what the atlas is: model, corpora, methods, licences and limits.

        Returns:
            section, text.
        """
        return self.query("data_card")

    def experiments(self, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the runs that the atlas was made by, in order.

        Args:
            limit: Number of rows at most.

        Returns:
            run, command, name, parameters (JSON), inputs, output, figures (JSON), seconds, finished, tool_version.
        """
        return self.query("experiments", limit=limit)

    def metadata(self) -> duckdb.DuckDBPyRelation:
        """Return the inputs, options and seeds behind the atlas.

        Returns:
            key, value.
        """
        return self.query("metadata")

    def link_accounting(self) -> duckdb.DuckDBPyRelation:
        """Return counts of all links of the graph files, kept and dropped, with reasons.

        Returns:
            kept, reason, link_count, graph_count, link_share.
        """
        return self.query("link_accounting")

    def _of_edge(self, name: str, source: Neuron, target: Neuron, **options: Any) -> duckdb.DuckDBPyRelation:
        first, second = as_neuron(source), as_neuron(target)
        ends = {
            "from_layer": first.layer,
            "from_neuron": first.neuron,
            "to_layer": second.layer,
            "to_neuron": second.neuron,
        }
        return self.query(name, **ends, **options)

    def _of(self, name: str, neuron: Neuron, **options: Any) -> duckdb.DuckDBPyRelation:
        found = as_neuron(neuron)
        return self.query(name, layer=found.layer, neuron=found.neuron, **options)
