"""Pages of Parquet that are encoded and decoded without Arrow: what Arrow, DuckDB and Polars write and read."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.aggregate import kernels
from atlas.aggregate.kernels.key_stats import KeyStats
from atlas.aggregate.kernels.numba_kernel import decode
from atlas.aggregate.kernels.numba_kernel.pages import packed_differences
from atlas.aggregate.link_tables import TABLES
from atlas.aggregate.map import observation_files, observation_pages
from atlas.aggregate.map.observation_files import COLUMNS, Group, columns_of, groups_of, read_graph, read_groups
from atlas.aggregate.map.observation_pages import PageReader
from atlas.aggregate.reduce import edge_pages
from atlas.errors import InputError
from atlas.graph import pack_pairs
from atlas.io.parquet_pages import Encoding, Page, delta_header, page_writer, thrift

wholes = st.integers(0, 2**62) | st.integers(0, 3) | st.integers(2**32 - 2, 2**32 + 2)


@pytest.fixture
def always_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "COMPILE_FROM", 0)
    monkeypatch.setattr(kernels, "LOAD_FROM", 0)


# Encoding


def read_back(values: np.ndarray, path: Path, shift: int = 0, mask: int = -1) -> tuple[list[int], int, int]:
    """Write a column of packed differences, and return what Arrow reads, with its bounds."""
    packed, smallest, largest = packed_differences(values, shift, mask)
    with page_writer(path, pa.schema([pa.field("x", pa.int64(), nullable=False)])) as writer:
        page = Page(len(values), [delta_header(len(values), int(values[0]) >> shift & mask), packed])
        writer.write_row_group(len(values), iter([edge_pages.ColumnPages(Encoding.DELTA_BINARY_PACKED, [page])]))
    return pq.read_table(path)["x"].to_pylist(), smallest, largest


@given(st.lists(wholes, min_size=1, max_size=300), st.sampled_from([(0, -1), (31, (1 << 24) - 1), (55, 127)]))
def test_packed_differences_are_what_arrow_reads(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], part: tuple[int, int]
) -> None:
    shift, mask = part
    expected = [value >> shift & mask for value in values]
    path = tmp_path_factory.mktemp("pages") / "one.parquet"
    assert read_back(np.array(values), path, shift, mask) == (expected, min(expected), max(expected))


@pytest.mark.parametrize("width", range(63))
def test_differences_of_every_width_are_packed(width: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(width)
    # 0 and the largest value follow each other, so that their differences take one bit more.
    values = np.where(rng.random(500) < 0.5, 0, (1 << width) - 1)
    for rows in (500, 150, 2):
        assert read_back(values[:rows], tmp_path / f"{rows}.parquet")[0] == values[:rows].tolist()


def statistics(edges: int) -> KeyStats:
    rng = np.random.default_rng(edges)
    ends = [np.sort(rng.integers(0, 30, edges)), *(rng.integers(0, top, edges) for top in (1 << 24, 100, 1 << 24))]
    key = np.unique(pack_pairs(*ends))
    counts = [rng.integers(0, 2 ** rng.integers(1, 40), len(key)) for _ in range(4)]
    return KeyStats(key, *counts, *(rng.standard_normal(len(key)) for _ in range(6)))


@pytest.mark.parametrize("edges", [0, 1, 2, 129, 5000])
@pytest.mark.parametrize("counted", [False, True])
def test_a_part_of_edges_is_the_one_that_arrow_writes(
    edges: int, counted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_pages, "PAGE_ROWS", 1 << 8)
    monkeypatch.setattr(edge_pages, "ROW_GROUP", 1 << 11)
    stats = statistics(edges)
    both = np.arange(len(stats)) if counted else None
    edge_pages.write_edges(tmp_path / "x.parquet", stats, stats.count, both, "relp", packed_differences)
    expected = TABLES[0].arrow(
        stats, method="relp", group_count=stats.count, joint_graph_count=pa.nulls(len(stats), pa.int64()) if both is None else both
    )  # fmt: skip
    found = pq.read_table(tmp_path / "x.parquet")
    assert found.schema.equals(expected.schema, check_metadata=True)
    assert found.equals(expected)
    assert pl.read_parquet(tmp_path / "x.parquet").equals(pl.from_arrow(expected))
    with duckdb.connect() as con:
        rows = con.sql(f"FROM read_parquet('{tmp_path}/x.parquet')").to_arrow_table()
        assert rows.cast(expected.schema).equals(expected)
        wanted = con.sql("SELECT count(*) FROM expected WHERE src_layer = 7 AND tgt_layer < 50").fetchall()
        # The bounds of row groups let DuckDB skip some.
        sql = f"SELECT count(*) FROM read_parquet('{tmp_path}/x.parquet') WHERE src_layer = 7 AND tgt_layer < 50"
        assert con.sql(sql).fetchall() == wanted


def test_the_footer_states_bounds_and_nulls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_pages, "PAGE_ROWS", 1 << 8)
    stats = statistics(1000)
    edge_pages.write_edges(tmp_path / "x.parquet", stats, stats.count, None, "relp", packed_differences)
    with pq.ParquetFile(tmp_path / "x.parquet") as file:
        group = file.metadata.row_group(0)
        layer, method = group.column(0), group.column(group.num_columns - 1)
        assert (layer.statistics.min, layer.statistics.max) == (stats.key[0] >> 55, stats.key[-1] >> 55)
        assert (layer.statistics.null_count, method.statistics.min) == (0, "relp")
        assert all(group.column(i).has_offset_index for i in range(group.num_columns))
        assert layer.has_column_index
        assert file.metadata.created_by == "circuit-atlas version 0.1.0"


# Decoding


def observed(rows: int = 3000, seed: int = 0, **kinds: pa.DataType) -> pa.Table:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {"graph_id": np.arange(rows) // 70}
    for name in COLUMNS[1:5]:
        columns[name] = rng.integers(0, 20 if name.endswith("layer") else 3000, rows)
    columns["weight"] = rng.standard_normal(rows).round(rng.integers(1, 9))
    default = dict.fromkeys(COLUMNS, pa.int32()) | {"weight": pa.float64()} | kinds
    return pa.table({name: pa.array(values).cast(default[name]) for name, values in columns.items()})


def same(found: dict[str, Any], expected: pa.Table) -> bool:
    columns = columns_of(expected)
    return all(found[name].dtype == columns[name].dtype and (found[name] == columns[name]).all() for name in COLUMNS)


def read_without_arrow(path: Path, groups: list[Group]) -> dict[str, Any] | None:
    return observation_files._decoded([(path, group) for group in groups], ())


ARROW: list[dict[str, Any]] = [
    {"compression": codec, "data_page_version": version, "use_dictionary": words, "data_page_size": size}
    for codec, version, words, size in itertools.product(
        ["snappy", "none", "zstd", "gzip"], ["1.0", "2.0"], [True, False, ["graph_id", "src_neuron"]], [300, 1 << 20]
    )
]


@pytest.mark.parametrize("options", ARROW, ids=str)
def test_what_arrow_writes_is_decoded(options: dict[str, Any], tmp_path: Path, always_compiled: None) -> None:
    path, table = tmp_path / "x.parquet", observed()
    # A dictionary that grows too large is followed by plain pages.
    pq.write_table(table, path, row_group_size=1100, dictionary_pagesize_limit=4000, **options)
    found = read_without_arrow(path, groups_of(0, path))
    assert found is not None
    assert same(found, table)


@pytest.mark.parametrize(
    "kinds",
    [{}, {"graph_id": pa.int64(), "weight": pa.float32()}, dict.fromkeys(COLUMNS[:5], pa.int64())],
    ids=["int32", "mixed", "int64"],
)
@pytest.mark.parametrize("required", [False, True])
def test_types_are_kept(kinds: dict[str, Any], required: bool, tmp_path: Path, always_compiled: None) -> None:
    path, table = tmp_path / "x.parquet", observed(**kinds)
    if required:
        table = table.cast(pa.schema([field.with_nullable(False) for field in table.schema]))
    pq.write_table(table, path)
    found = read_without_arrow(path, groups_of(0, path))
    assert found is not None
    assert same(found, table)


def test_what_duckdb_and_polars_write_is_decoded(tmp_path: Path, always_compiled: None) -> None:
    table = observed(20_000)
    with duckdb.connect() as con:
        con.register("rows", table)
        for number, more in enumerate(["", ", COMPRESSION zstd", ", COMPRESSION uncompressed"]):
            path = tmp_path / f"{number}.parquet"
            con.sql(f"COPY rows TO '{path}' (ROW_GROUP_SIZE 4096{more})")
            found = read_without_arrow(path, groups_of(0, path))
            assert found is not None
            assert same(found, table)
    for compression in ("zstd", "snappy", "uncompressed"):
        path = tmp_path / f"{compression}.parquet"
        pl.from_arrow(table).write_parquet(path, compression=compression, row_group_size=4096)  # type: ignore[union-attr]
        found = read_without_arrow(path, groups_of(0, path))
        assert found is not None
        assert same(found, table)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 63, 64, 65])
@pytest.mark.parametrize("words", [1, 2, 3, 200, 300])
def test_few_rows_and_dictionaries_of_any_width(rows: int, words: int, tmp_path: Path, always_compiled: None) -> None:
    path, table = tmp_path / "x.parquet", observed(rows)
    rng = np.random.default_rng(words)
    table = table.set_column(2, "src_neuron", pa.array(rng.integers(0, words, rows).astype(np.int32)))
    pq.write_table(table, path)
    found = read_without_arrow(path, groups_of(0, path))
    assert found is not None
    assert same(found, table)


@pytest.mark.parametrize("case", ["null", "null in version 2", "nested", "delta", "split", "lz4", "unsigned"])
def test_the_rest_is_left_to_arrow(case: str, tmp_path: Path, always_compiled: None) -> None:
    path, table, options = tmp_path / "x.parquet", observed(), {}
    if case.startswith("null"):
        options = {"data_page_version": "2.0" if case.endswith("2") else "1.0"}
        table = table.set_column(5, "weight", pa.array([None, *table["weight"].to_pylist()[1:]], pa.float64()))
    elif case == "nested":
        table = table.add_column(0, "more", pa.array([{"a": 1, "b": 2}] * len(table)))
    elif case == "unsigned":
        table = table.set_column(1, "src_layer", table["src_layer"].cast(pa.uint8()))
    elif case == "lz4":
        options = {"compression": "lz4"}
    else:
        chosen = ("src_neuron", "DELTA_BINARY_PACKED") if case == "delta" else ("weight", "BYTE_STREAM_SPLIT")
        options = {"column_encoding": dict([chosen]), "use_dictionary": False}
    pq.write_table(table, path, row_group_size=1000, **options)
    groups = groups_of(0, path)
    assert read_without_arrow(path, groups) is None
    found = read_groups([(path, group) for group in groups])
    expected = columns_of(table)
    assert all(np.array_equal(found[name], expected[name], equal_nan=True) for name in COLUMNS)


def test_a_graph_in_the_next_row_group_is_read_from_its_first_pages(
    tmp_path: Path, always_compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, table = tmp_path / "x.parquet", observed(200_000)
    pq.write_table(table, path, row_group_size=99_990, data_page_size=2000)
    group, graph = groups_of(0, path)[1], 99_990 // 70
    read = 0
    real = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal read
        read += size
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    [found] = read_graph(path, group, graph)
    mine = table.slice(99_990).filter(pa.compute.equal(table["graph_id"].slice(99_990), graph))
    assert len(mine) == 40
    assert same(found, mine)
    with pq.ParquetFile(path) as file:
        columns = [file.metadata.row_group(1).column(i) for i in range(6)]
    # Dictionaries are read whole; of the weights, which are plain after the first pages, only a part.
    assert read < sum(column.total_compressed_size for column in columns)
    assert next(iter(read_graph(path, group, 10**6)))["weight"].shape == (0,)


@pytest.mark.slow
def test_damaged_bytes_are_never_read_beyond_their_end(tmp_path: Path) -> None:
    """The kernels are compiled with checks of all bounds, and read files in which random bytes have changed."""
    for number, options in enumerate(random.Random(5).sample(ARROW, 8)):
        pq.write_table(observed(700, number), tmp_path / f"{number}.parquet", row_group_size=500, **options)
    code = f"""
        import random
        from pathlib import Path
        import numpy as np
        from atlas.aggregate import kernels
        from atlas.aggregate.map.observation_pages import PageReader
        from atlas.aggregate.map.observation_files import COLUMNS
        kernels.LOAD_FROM = kernels.COMPILE_FROM = 0
        rng, read = random.Random(1), 0
        for path in Path({str(tmp_path)!r}).glob("*.parquet"):
            whole, known = path.read_bytes(), PageReader.opened(path, COLUMNS)
            for attempt in range(400):
                broken = bytearray(whole)
                for _ in range(rng.choice([1, 1, 2, 8])):
                    # The footer stays: its bytes are Arrow's to read.
                    broken[rng.randrange(4, int(len(whole) * 0.8))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
                path.write_bytes(broken)
                for number in range(known.metadata.num_row_groups):
                    rows = known.metadata.row_group(number).num_rows
                    read += known.read(number, {{name: np.empty(rows, kind) for name, kind in known.types.items()}})
        print(read)
    """
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 100 < int(done.stdout) < 6000  # some changes are of values alone


def pages_of(path: Path, column: int) -> tuple[PageReader, int, np.ndarray]:
    """Return a reader, and place and facts of the pages of a column of the first row group."""
    reader = PageReader.opened(path, COLUMNS)
    assert reader is not None
    chunk = reader.metadata.row_group(0).column(column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    pages = decode.page_headers(np.fromfile(path, np.uint8)[start:], chunk.num_values)
    assert pages is not None
    return reader, start, pages


def test_a_page_that_claims_too_much_reserves_nothing(tmp_path: Path, always_compiled: None) -> None:
    path, rows = tmp_path / "x.parquet", observed(400_000)
    rows = rows.set_column(5, "weight", pa.array(np.random.default_rng(0).standard_normal(len(rows))))
    with duckdb.connect() as con:
        con.register("rows", rows)
        con.sql(f"COPY rows TO '{path}' (ROW_GROUP_SIZE 400_000)")
    reader, start, pages = pages_of(path, 5)
    found = {"weight": np.empty(400_000)}
    assert reader.read(0, found)
    data = bytearray(path.read_bytes())
    largest = pages[pages[:, decode.SIZE].argmax()]
    told = bytes([0x15, *_varint(int(largest[decode.SIZE]) << 1)])
    place = data.rindex(told, 0, start + int(largest[decode.START]))
    # As many bytes, which now say 128 MB.
    assert len(told) == 5
    data[place + 1 : place + 5] = bytes([0xFE, 0xFF, 0xFF, 0x7F])
    path.write_bytes(data)
    assert not reader.read(0, found)


def test_pages_that_unpack_to_another_size_are_left_to_arrow(tmp_path: Path, always_compiled: None) -> None:
    """Arrow's codecs return as many bytes as they are asked for; those that were never written are what the memory held."""
    for codec in ("snappy", "gzip", "zstd"):
        body = pa.Codec(codec).compress(bytes(4000))
        found = observation_pages._unpacked_size(codec.upper(), body.to_pybytes()[:18], body.to_pybytes()[-4:])
        assert found == 4000
    path = tmp_path / "x.parquet"
    pq.write_table(observed(1000), path, compression="snappy", use_dictionary=False)
    reader, start, pages = pages_of(path, 5)
    found = {"weight": np.empty(1000)}
    assert reader.read(0, found)
    data = bytearray(path.read_bytes())
    data[start + int(pages[0, decode.START])] ^= 1  # of the size that snappy states
    path.write_bytes(data)
    assert not reader.read(0, found)


def test_checksums_are_tested(tmp_path: Path, always_compiled: None) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(observed(), path, compression="none", use_dictionary=False, write_page_checksum=True)
    [group] = groups_of(0, path)
    assert read_without_arrow(path, [group]) is None
    with pq.ParquetFile(path) as file:
        place = file.metadata.row_group(0).column(5).data_page_offset + 5000
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="x.parquet cannot be read as observations"):
        read_groups([(path, group)])


def test_a_header_that_ends_early_is_not_followed_by_pages_of_values(tmp_path: Path, always_compiled: None) -> None:
    path, table = tmp_path / "x.parquet", observed(20_000)
    table = table.cast(pa.schema([field.with_nullable(False) for field in table.schema]))
    pq.write_table(table, path, compression="none", use_dictionary=False, data_page_size=4000)
    reader, start, pages = pages_of(path, 4)
    data = path.read_bytes()
    differ = 0
    for page in pages[1:4]:
        header = start + int(page[decode.START])
        for place in range(header - 20, header):
            for bit in (1, 2, 16, 128):
                broken = bytearray(data)
                broken[place] ^= bit
                path.write_bytes(broken)
                found = {"tgt_neuron": np.empty(20_000, np.int32)}
                if reader.read(0, found):
                    differ += not (found["tgt_neuron"] == columns_of(table)["tgt_neuron"]).all()
    assert differ == 0


def test_lists_of_truths_have_the_type_that_all_readers_know() -> None:
    assert thrift({1: [False, True]}) == bytes([0x19, 0x21, 2, 1, 0])


def _varint(value: int) -> list[int]:
    groups = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return [*(group | 128 for group in groups[:-1]), groups[-1]]
