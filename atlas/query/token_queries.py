"""Queries about tokens: what they drive, what drives them, and paths from one to another."""

from __future__ import annotations

import duckdb

from atlas.query.connection import AtlasFile


class TokenQueries(AtlasFile):
    """Methods of `Atlas` about input and output tokens, and searches for tokens and circuits."""

    def token(self, token: str) -> duckdb.DuckDBPyRelation:
        """Return the tokens with a text: in how many graphs they are, and how many neurons they are joined to.

        Args:
            token: Text of the token; without spaces around it, tokens with them are found, too.

        Returns:
            token_id, token, input_graph_count, output_graph_count, probability_max, driven_count (neurons that it drives), driving_count
            (neurons that drive it), circuits.
        """
        return self.query("token", token=token)

    def token_neurons(
        self, token: str, *, side: str | None = None, min_graphs: int | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the neurons that a token drives as an input, and those that drive it as an output, strongest first.

        Args:
            token: Text of the token; without spaces around it, tokens with them are found, too.
            side: `in` or `out`; both where None.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of rows at most.

        Returns:
            side, token, neuron_id, label, cluster_path, count, graph_count, mean_weight, mean_abs_weight, share (of all |weights| from tokens
            into the neuron, or from neurons into the output).
        """
        return self.query("token_neurons", token=token, side=side, min_graphs=min_graphs, limit=limit)

    def token_paths(
        self,
        token: str,
        output: str,
        *,
        max_neurons: int | None = None,
        min_graphs: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return the strongest paths from an input token through neurons to an output token.

        Args:
            token: Text of the input token.
            output: Text of the output token.
            max_neurons: Number of neurons of a path at most, 1 to 4; 3 where None.
            min_graphs: Minimum number of graphs of an edge.
            limit: Number of paths at most; 20 where None.

        Returns:
            rank, neuron_count, token, path (neuron ids), output, strength (product of the shares of the steps, with the sign of the path),
            graph_count (graphs that have all of its links; NULL where the atlas holds no links of graphs).
        """
        return self.query(
            "token_paths", token=token, output=output, max_neurons=max_neurons, min_graphs=min_graphs, limit=limit
        )

    def search_tokens(self, words: str, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Find tokens by a part of their text, those of most graphs first.

        Args:
            words: Text to find, in any case.
            limit: Number of rows at most.

        Returns:
            token_id, token, input_graph_count, output_graph_count, match_rank (1 equal, 2 equal but for spaces and case, 3 begins with, 4
            contains).
        """
        return self.query("search_tokens", words=words, limit=limit)

    def search_circuits(self, words: str, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Find circuits by the words of their name, anchor or sample labels.

        Args:
            words: Words to find, in any case and order.
            limit: Number of rows at most.

        Returns:
            circuit_id, kind, name, size, graph_count, is_found_again, sample_labels.
        """
        return self.query("search_circuits", words=words, limit=limit)
