"""Queries about circuits: one typed method per file of queries/, a part of the client."""

from __future__ import annotations

import duckdb

from atlas.query.catalogue import as_cluster_path
from atlas.query.connection import AtlasFile


class CircuitQueries(AtlasFile):
    """Methods of `Atlas` about clusters and anchored circuits."""

    def circuits(
        self,
        *,
        path: str | int | None = None,
        kind: str | None = None,
        clustering: str | None = None,
        min_agreement: float | None = None,
        found_again: bool | None = None,
        level: int | None = None,
        parent: str | int | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return circuits, largest first: clusters of one clustering at every level, and anchored circuits.

        Args:
            path: One circuit, such as 12, "12.3" or "input:276".
            kind: Circuits of this kind: `cluster`, `input`, `output`, `contrast` or `set`.
            clustering: Clusters of this clustering; of the primary one, and anchored circuits, where None.
            min_agreement: Minimum Jaccard index of the circuits of two halves of the groups of prompts.
            found_again: Circuits that count as found again, or only others.
            level: Circuits of this level; 1 is the top.
            parent: Circuits directly inside this one.
            min_size: Minimum number of neurons.
            max_size: Maximum number of neurons.
            limit: Number of rows at most.

        Returns:
            circuit_id, kind, name, anchor, cluster_path, level, size, layer_min, layer_max, median_layer, flow, graph_count, group_count,
            is_found_again, support, half_agreement, control_agreement, null_p, null_fdr, effect, control_effect_max, conductance,
            sign_coherence, labelled_count, sample_labels.
        """
        one, inside = (None if given is None else as_cluster_path(given) for given in (path, parent))
        sizes = {"min_size": min_size, "max_size": max_size}
        trust = {"kind": kind, "clustering": clustering, "min_agreement": min_agreement, "found_again": found_again}
        return self.query("circuits", path=one, **trust, level=level, parent=inside, **sizes, limit=limit)

    def circuit(
        self, cluster_path: str | int, *, clustering: str | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the members of a circuit, largest weight of their edges inside it first.

        Args:
            cluster_path: 12, "12.3" and so on, or the id of an anchored circuit, such as "input:276".
            clustering: Clustering that the path is of; the primary one where None.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, cluster_path, weight_inside (sum of mean absolute weights), infomap_flow,
            graph_count, max_activation, in_degree, out_degree, role, confidence.
        """
        path = as_cluster_path(cluster_path)
        return self.query("circuit", cluster_path=path, clustering=clustering, limit=limit)

    def circuit_edges(
        self, cluster_path: str | int, *, clustering: str | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the edges inside a circuit, strongest mean absolute weight first.

        Args:
            cluster_path: 12, "12.3" and so on, or the id of an anchored circuit.
            clustering: Clustering that the path is of; the primary one where None.
            limit: Number of rows at most.

        Returns:
            src_id, tgt_id, src_layer, src_neuron, src_label, tgt_layer, tgt_neuron, tgt_label, count,
            graph_count, mean_weight, mean_abs_weight, weight_min, weight_max.
        """
        path = as_cluster_path(cluster_path)
        return self.query("circuit_edges", cluster_path=path, clustering=clustering, limit=limit)

    def circuit_neurons(
        self, circuit: str | int, *, clustering: str | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the members of a circuit by role and rank, with how surely each is one.

        Args:
            circuit: 12, "12.3" and so on, or the id of an anchored circuit, such as "input:276".
            clustering: Clustering that the path is of; the primary one where None.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, role, step, rank, weight, confidence.
        """
        path = as_cluster_path(circuit)
        return self.query("circuit_neurons", circuit=path, clustering=clustering, limit=limit)

    def circuit_ends(
        self, circuit: str | int, *, clustering: str | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the input tokens that drive a circuit, and the output tokens that it pushes up or down.

        Args:
            circuit: 12, "12.3" and so on, or the id of an anchored circuit.
            clustering: Clustering that the path is of; the primary one where None.
            limit: Number of rows at most.

        Returns:
            side, token_id, token, neuron_count, weight, abs_weight.
        """
        path = as_cluster_path(circuit)
        return self.query("circuit_ends", circuit=path, clustering=clustering, limit=limit)

    def circuit_graphs(
        self, circuit: str | int, *, clustering: str | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the graphs in which a circuit acts, those with most of its neurons first.

        Args:
            circuit: 12, "12.3" and so on, or the id of an anchored circuit.
            clustering: Clustering that the path is of; the primary one where None.
            limit: Number of rows at most.

        Returns:
            graph_id, prompt, group_id, active_count, active_share.
        """
        path = as_cluster_path(circuit)
        return self.query("circuit_graphs", circuit=path, clustering=clustering, limit=limit)

    def busiest_circuits(
        self,
        *,
        min_size: int | None = None,
        max_size: int | None = None,
        clustering: str | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return clusters that hold neurons of the atlas: those of the given sizes first, of them those that are found again, then by flow.

        Args:
            min_size: Minimum number of neurons of the circuits that come first.
            max_size: Maximum number of neurons of the circuits that come first.
            clustering: A clustering; the primary one where None.
            limit: Number of rows at most.

        Returns:
            circuit_id, cluster_path, level, size, flow.
        """
        sizes = {"min_size": min_size, "max_size": max_size}
        return self.query("busiest_circuits", **sizes, clustering=clustering, limit=limit)

    def central_neurons(
        self, *, cluster_path: str | int | None = None, clustering: str | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return neurons, highest flow first, then by the number of their edges.

        Args:
            cluster_path: Neurons of this circuit; of the whole atlas where None.
            clustering: Clustering that the path is of; the primary one where None.
            limit: Number of rows at most.

        Returns:
            neuron_id, layer, neuron, label, infomap_flow, in_degree, out_degree.
        """
        path = None if cluster_path is None else as_cluster_path(cluster_path)
        return self.query("central_neurons", cluster_path=path, clustering=clustering, limit=limit)

    def circuit_partners(
        self, circuit: str | int, *, clustering: str | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the circuits that a circuit drives, and that drive it, largest weight of the edges between them first.

        Args:
            circuit: 12, "12.3" and so on, or the id of an anchored circuit.
            clustering: Clustering that the path is of; the primary one where None.
            limit: Number of rows at most.

        Returns:
            direction (drives, driven by), circuit_id, name, edge_count, weight_sum, weight_abs_sum, is_found_again.
        """
        path = as_cluster_path(circuit)
        return self.query("circuit_partners", circuit=path, clustering=clustering, limit=limit)

    def circuit_paths(
        self, circuit: str, *, min_graphs: int | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the strongest paths through a circuit of a token, from an input token to an output token.

        Args:
            circuit: Id of an anchored circuit, such as "input:276".
            min_graphs: Only paths whose links are all in at least so many graphs.
            limit: Number of rows at most.

        Returns:
            rank, token, neurons, output, strength, graph_count, group_count.
        """
        return self.query("circuit_paths", circuit=circuit, min_graphs=min_graphs, limit=limit)

    def clusterings(self) -> duckdb.DuckDBPyRelation:
        """Return the clusterings with how far to trust each, the primary one first.

        Returns:
            clustering, is_primary, method, neuron_count, edge_count, top_cluster_count, cluster_count, largest_share, tested_count,
            found_again_count, stable_count, stable_share, seed_ami, half_ami, half_similarity, gain, gain_swapped, gain_permuted, base_auc,
            held_out_auc, held_out_bits, is_overlapping.
        """
        return self.query("clusterings")

    def cluster_matches(
        self, *, clustering: str | None = None, other: str | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the best match of every cluster in other clusterings, most alike first.

        Args:
            clustering: Clusters of this clustering.
            other: Matches in this clustering.
            limit: Number of rows at most.

        Returns:
            clustering, cluster_path, size, other_clustering, other_path, other_size, shared_count, jaccard.
        """
        return self.query("cluster_matches", clustering=clustering, other=other, limit=limit)
