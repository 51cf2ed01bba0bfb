"""Asks an atlas: one typed method per file of queries/, each returning a DuckDB relation."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache, partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from atlas.database import DEFAULT_MEMORY, Script, one_line, open_atlas, require_reading, scripts, use_catalog
from atlas.errors import QueryError, UsageError
from atlas.ids import NeuronId

Neuron = NeuronId | str | tuple[int, int]


# Names that are SQL keywords, which the macro behind the query cannot have.
_ALIASES = {"between": "paths_between"}


@cache
def catalogue() -> Mapping[str, Script]:
    """All queries by name: text, description, parameters."""
    return {script.name: script for script in scripts("queries")}


def find_query(name: str) -> Script:
    """Find a query by name.

    Args:
        name: Name of the query.

    Returns:
        The script.

    Raises:
        UsageError: There is no such query; the message lists all.
    """
    key = name.replace("-", "_")
    found = catalogue().get(_ALIASES.get(key, key))
    if found is None:
        near = get_close_matches(name, catalogue(), 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(catalogue())}"
        raise UsageError(f"no query is called {name!r}{hint}")
    return found


def as_neuron(given: Neuron) -> NeuronId:
    """Parse a neuron.

    Args:
        given: `L24/N5326` in any spelling, or (24, 5326).

    Returns:
        Layer and neuron.

    Raises:
        IdError: It names no neuron.
    """
    return NeuronId.parse(given) if isinstance(given, str) else NeuronId.checked(*given)


def as_cluster_path(given: str | int) -> str:
    """Return a cluster path as text; raises `TypeError` for a float: 2.10 and 2.1 are one number and two circuits."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise TypeError(f"a cluster path is text, such as '12' or '2.10', not the {type(given).__name__} {given!r}")
    return str(given)


class Atlas:
    """An atlas file, opened read-only with external access disabled.

    Every method returns a `duckdb.DuckDBPyRelation`: `.pl()`, `.arrow()`, `.df()`, `.fetchall()`, or
    further SQL on it. Rows come in a stated order; a `limit` of None means all rows. Methods may be
    called from several threads: each call runs on a cursor of its own.
    """

    def __init__(self, path: str | PathLike[str], *, memory: str = DEFAULT_MEMORY) -> None:
        """Open the atlas at `path`; `memory` is DuckDB's limit. Raises `AtlasFileError`."""
        self.path = Path(path)
        self.memory = memory
        self._con = open_atlas(path, memory=memory)
        self._cursors: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path alone: another process opens the file anew."""
        return partial(Atlas, memory=self.memory), (self.path,)

    def __enter__(self) -> Atlas:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Atlas({str(self.path)!r})"

    def close(self) -> None:
        """Close the file; relations of this atlas cannot be read afterwards."""
        self._con.close()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection for what the methods do not cover, under the same restrictions."""
        return self._con

    def interrupt(self) -> None:
        """Stop the queries that are running; each of them raises `duckdb.InterruptException`."""
        for cursor in list(self._cursors):
            cursor.interrupt()
        self._con.interrupt()

    def sql(self, text: str, parameters: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Run SQL that reads.

        Args:
            text: One SELECT statement, or EXPLAIN of one. Values stand as `$name`.
            parameters: Values by name.

        Returns:
            A relation with the columns of the SQL.

        Raises:
            QueryError: The SQL is no such statement, or DuckDB refuses it; its message is kept.
        """
        require_reading(text)
        try:
            cursor = self._con.cursor()
            use_catalog(cursor, self.path)
            self._cursors.add(cursor)
            return cursor.sql(text, params=dict(parameters) if parameters else None)
        except duckdb.Error as error:
            raise QueryError(one_line(error)) from error

    def query(self, name: str, **parameters: Any) -> duckdb.DuckDBPyRelation:
        """Run a query of `queries/`.

        Args:
            name: Name of the query.
            **parameters: Its parameters; one that is left out is NULL.

        Returns:
            A relation with the columns of the query.

        Raises:
            UsageError: There is no such query or parameter, or a required one is left out.
        """
        found = find_query(name)
        known = {parameter.name: parameter for parameter in found.parameters}
        for given in parameters:
            if given not in known:
                raise UsageError(f"query {name} has no parameter {given}; it has {', '.join(known) or 'none'}")
        missing = [key for key, parameter in known.items() if parameter.required and parameters.get(key) is None]
        if missing:
            raise UsageError(f"query {name} needs {', '.join(missing)}")
        return self.sql(found.sql, {key: parameters.get(key) for key in known})

    def neurons(
        self,
        *,
        layer: int | None = None,
        top_cluster: int | None = None,
        labelled: bool | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return neurons, most frequent first.

        Args:
            layer: Neurons of this layer.
            top_cluster: Neurons of this cluster of the top level.
            labelled: True for neurons with a label, False for those without.
            limit: Number of rows at most.

        Returns:
            layer, neuron, label, graph_count, node_count, in_degree, out_degree, max_activation, cluster_path,
            infomap_flow.
        """
        return self.query("neurons", layer=layer, top_cluster=top_cluster, labelled=labelled, limit=limit)

    def neuron(self, neuron: Neuron) -> duckdb.DuckDBPyRelation:
        """Return one neuron: one row, or none where it is in no graph.

        Args:
            neuron: `L24/N5326` or (24, 5326).

        Returns:
            layer, neuron, neuron_id, unit_type, label, description, input_label, output_label,
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
            min_graphs: Edges in at least so many graphs.
            limit: Number of rows at most.

        Returns:
            layer, neuron, label, cluster_path, count, graph_count, frequency, positive_share,
            mean_weight, mean_abs_weight, std_weight, weight_min, weight_max, method.
        """
        return self._of("upstream", neuron, min_graphs=min_graphs, limit=limit)

    def downstream(
        self, neuron: Neuron, *, min_graphs: int | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the neurons that a neuron drives, strongest mean absolute weight first.

        Args:
            neuron: `L24/N5326` or (24, 5326).
            min_graphs: Edges in at least so many graphs.
            limit: Number of rows at most.

        Returns:
            The columns of `upstream`.
        """
        return self._of("downstream", neuron, min_graphs=min_graphs, limit=limit)

    def paths_between(self, source: Neuron, target: Neuron, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the direct edge from one neuron to another, and all paths over one neuron in between.

        Args:
            source: `L24/N5326` or (24, 5326).
            target: The other neuron.
            limit: Number of rows at most.

        Returns:
            hop_count (1 or 2), via_layer, via_neuron, via_label, graph_count (of the rarer edge),
            first_weight, second_weight (signed means), strength (mean absolute weight of the weaker edge).
        """
        first, second = as_neuron(source), as_neuron(target)
        return self.query(
            "paths_between",
            from_layer=first.layer,
            from_neuron=first.neuron,
            to_layer=second.layer,
            to_neuron=second.neuron,
            limit=limit,
        )

    def circuits(
        self,
        *,
        path: str | int | None = None,
        level: int | None = None,
        parent: str | int | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        limit: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return circuits, which are the clusters of the primary clustering at every level, largest first.

        Args:
            path: One circuit, such as 12 or "12.3".
            level: Circuits of this level; 1 is the top.
            parent: Circuits directly inside this one.
            min_size: Neurons at least.
            max_size: Neurons at most.
            limit: Number of rows at most.

        Returns:
            cluster_path, level, size, layer_min, layer_max, median_layer, flow, labelled_count, sample_labels.
        """
        one, inside = (None if given is None else as_cluster_path(given) for given in (path, parent))
        sizes = {"min_size": min_size, "max_size": max_size}
        return self.query("circuits", path=one, level=level, parent=inside, **sizes, limit=limit)

    def circuit(self, cluster_path: str | int, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the members of a circuit, by the weight of their edges inside it.

        Args:
            cluster_path: 12, "12.3" and so on.
            limit: Number of rows at most.

        Returns:
            layer, neuron, label, cluster_path, weight_inside (sum of mean absolute weights), infomap_flow, graph_count,
            max_activation, in_degree, out_degree.
        """
        return self.query("circuit", cluster_path=as_cluster_path(cluster_path), limit=limit)

    def circuit_edges(self, cluster_path: str | int, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the edges inside a circuit, strongest mean absolute weight first.

        Args:
            cluster_path: 12, "12.3" and so on.
            limit: Number of rows at most.

        Returns:
            src_layer, src_neuron, src_label, tgt_layer, tgt_neuron, tgt_label, count,
            graph_count, mean_weight, mean_abs_weight, weight_min, weight_max.
        """
        return self.query("circuit_edges", cluster_path=as_cluster_path(cluster_path), limit=limit)

    def busiest_circuits(
        self, *, min_size: int | None = None, max_size: int | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return circuits that hold neurons of the atlas, those of the given sizes first, busiest first.

        Args:
            min_size: Neurons at least.
            max_size: Neurons at most.
            limit: Number of rows at most.

        Returns:
            cluster_path, level, size, flow.
        """
        return self.query("busiest_circuits", min_size=min_size, max_size=max_size, limit=limit)

    def central_neurons(
        self, *, cluster_path: str | int | None = None, limit: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return neurons by flow and then by the number of their edges.

        Args:
            cluster_path: Neurons of this circuit; of the whole atlas where None.
            limit: Number of rows at most.

        Returns:
            layer, neuron, label, infomap_flow, in_degree, out_degree.
        """
        path = None if cluster_path is None else as_cluster_path(cluster_path)
        return self.query("central_neurons", cluster_path=path, limit=limit)

    def search(self, words: str, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Find neurons by label text, over every label of every kind, best match first.

        Args:
            words: Text to find, in any case.
            limit: Number of rows at most.

        Returns:
            layer, neuron, text, kind, source, cluster_path, graph_count, max_activation,
            match_rank (1 equal, 2 begins with, 3 whole words, 4 contains, 5 in the description).
        """
        return self.query("search", words=words, limit=limit)

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
            min_graphs: Neurons that share at least so many graphs.
            limit: Number of rows at most.

        Returns:
            layer, neuron, label, cluster_path, rank, joint_graph_count, share, lift, pmi, npmi.
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

    def graphs(self, *, limit: int | None = None) -> duckdb.DuckDBPyRelation:
        """Return the graphs of the atlas, with their prompts.

        Args:
            limit: Number of rows at most.

        Returns:
            graph_id, path, prompt, neuron_count, link_count, kept_count, dropped_count.
        """
        return self.query("graphs", limit=limit)

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

    def _of(self, name: str, neuron: Neuron, **options: Any) -> duckdb.DuckDBPyRelation:
        found = as_neuron(neuron)
        return self.query(name, layer=found.layer, neuron=found.neuron, **options)
