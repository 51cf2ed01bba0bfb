"""Map of an atlas: the places of its circuits, laid out once, so that every page and picture shows the same map."""

from __future__ import annotations

import importlib.util

import duckdb
import pyarrow as pa

from atlas.database.tables import arrow_table


def write_map(con: duckdb.DuckDBPyConnection) -> None:
    """Lay out the top clusters of the primary clustering and replace the table `map_discs`.

    Without numpy the table stays empty.

    Args:
        con: Connection that uses a complete atlas with its views, and has the catalog `input`.
    """
    con.execute("DELETE FROM map_discs")
    if importlib.util.find_spec("numpy") is None:
        return
    from atlas.io.disc_layout import place_discs

    found = con.execute("SELECT top_cluster, sqrt(size) AS radius FROM clusters WHERE level = 1 ORDER BY size DESC, 1")
    discs = found.fetchnumpy()
    place = {cluster: number for number, cluster in enumerate(discs["top_cluster"].tolist())}
    flows = con.execute("SELECT src_top_cluster, tgt_top_cluster, weight_abs_sum FROM circuit_flow ORDER BY ALL")
    rows = [row for row in flows.fetchall() if row[0] != row[1] and row[2]]
    sources, targets, weights = (
        [place[row[0]] for row in rows],
        [place[row[1]] for row in rows],
        [row[2] for row in rows],
    )
    places = place_discs(discs["radius"], sources, targets, weights)
    columns = {"top_cluster": pa.array(place, pa.int32()), "x": pa.array(places[:, 0]), "y": pa.array(places[:, 1])}
    arrow_table(con, "map_discs", pa.table(columns))
    con.execute("INSERT INTO map_discs FROM input.map_discs ORDER BY top_cluster")
