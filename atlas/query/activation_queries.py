"""Queries about activations: one typed method per file of queries/, a part of the client."""

from __future__ import annotations

from typing import Any

import duckdb

from atlas.ids import UnitId
from atlas.query.connection import AtlasFile

Unit = UnitId | str


class ActivationQueries(AtlasFile):
    """Methods of `Atlas` about stores of activations, and features of dictionaries."""

    def features(
        self, *, min_contexts: int | None = None, max_density: float | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the features of dictionaries; those with the closest neuron of a circuit first.

        Args:
            min_contexts: Only features that are active in at least this many contexts.
            max_density: Only features that are active on at most this share of the tokens.
            limit: Number of rows at most.

        Returns:
            unit_id, layer, unit, density, active_context_count, max_active, token, mass_share, is_single_token, neuron, jaccard,
            cluster_path.
        """
        return self.query("features", min_contexts=min_contexts, max_density=max_density, limit=limit)

    def fires_on(self, token: str, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the neurons and features that are active on a token, the most reliable and exclusive ones first.

        Args:
            token: Text of the token; without spaces around it, tokens with them are found, too.
            limit: Number of rows at most.

        Returns:
            unit_id, unit_type, layer, unit, token, precision, recall, lift, mass_share, active_count, token_count, mean_active, label,
            cluster_path.
        """
        return self.query("fires_on", token=token, limit=limit)

    def tokens_of(self, unit: Unit, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the tokens that a unit is active on, and tokens before and behind.

        Args:
            unit: Neuron or feature, `L24/N5326` or `L2/F10`.
            limit: Number of rows at most.

        Returns:
            relation, token, mass_share, precision, recall, lift, active_count, token_count, mean_active.
        """
        return self.query("tokens_of", **_unit(unit), limit=limit)

    def activations(self, unit: Unit, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return all kept activations of a unit.

        Args:
            unit: Neuron or feature, `L24/N5326` or `L2/F10`.
            limit: Number of rows at most.

        Returns:
            value, token, context_id, position, document, source.
        """
        return self.query("activations", **_unit(unit), limit=limit)

    def activation_histogram(self, unit: Unit) -> duckdb.DuckDBPyRelation:
        """Return how often a unit has activations of each size.

        Args:
            unit: Neuron or feature, `L24/N5326` or `L2/F10`.

        Returns:
            sign, bin, low, high, count.
        """
        return self.query("activation_histogram", **_unit(unit))

    def examples(self, unit: Unit, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return contexts in which a unit is active, by stratum, and some in which it is not.

        Args:
            unit: Neuron or feature, `L24/N5326` or `L2/F10`.
            limit: Number of rows at most.

        Returns:
            stratum, rank, value, token, before, behind, document, context_id, position, weight.
        """
        return self.query("examples", **_unit(unit), limit=limit)

    def coactive(self, unit: Unit, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return units that are active on the same tokens.

        Args:
            unit: Neuron or feature, `L24/N5326` or `L2/F10`.
            limit: Number of rows at most.

        Returns:
            other_id, other_unit_type, other_layer, other_unit, label, cluster_path, joint_count, active_count, other_count, jaccard, cosine,
            pmi, association_p, edge_graph_count.
        """
        return self.query("coactive", **_unit(unit), limit=limit)

    def similar_units(self, unit: Unit, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return similar units, by decoder, encoder, joint activity and tokens.

        Args:
            unit: Neuron or feature, `L24/N5326` or `L2/F10`.
            limit: Number of rows at most.

        Returns:
            similarity_kind, other_id, other_layer, other_unit, similarity.
        """
        return self.query("similar_units", **_unit(unit), limit=limit)

    def feature_neurons(self, feature: Unit, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the neurons that write to a feature, read it, or are active on the same tokens.

        Args:
            feature: Feature, `L2/F10`.
            limit: Number of rows at most.

        Returns:
            relation, neuron_id, neuron_layer, neuron, strength, label, cluster_path, rank.
        """
        return self.query("feature_neurons", **_feature(feature), limit=limit)

    def feature_tokens(self, feature: Unit, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the tokens that the decoder of a feature promotes or suppresses.

        Args:
            feature: Feature, `L2/F10`.
            limit: Number of rows at most.

        Returns:
            projection_kind, direction, rank, token_id, token, weight, centred_weight.
        """
        return self.query("feature_tokens", **_feature(feature), limit=limit)


def _unit(given: Unit) -> dict[str, Any]:
    return (UnitId.parse(given) if isinstance(given, str) else given)._asdict()


def _feature(given: Unit) -> dict[str, Any]:
    return {name: value for name, value in _unit(given).items() if name != "unit_type"}
