"""Files, folders, archives, and everything that may be wrong with them."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from pathlib import Path

import factories
import pytest

from atlas.errors import InputError
from atlas.graph import Graph
from atlas.graphs import ReadLimits, Reject, find_sources, read_graphs

GRAPH = factories.ct_graph(
    [factories.ct_feature(0, 1), factories.ct_feature(1, 2)], [factories.link("0_1_0", "1_2_0", 0.5)]
)
TEXT = json.dumps(GRAPH).encode()


def read(*paths: Path | str, limits: ReadLimits = ReadLimits()) -> list[Graph | Reject]:  # noqa: B008
    return [item for source in find_sources(paths) for item in read_graphs(source, limits)]


def only_reject(path: Path) -> Reject:
    (item,) = read(path)
    assert isinstance(item, Reject)
    assert "\n" not in item.message
    return item


def test_every_container_gives_the_same_graph(tmp_path: Path) -> None:
    factories.write(tmp_path / "a.json", GRAPH)
    factories.write(tmp_path / "b.json.gz", GRAPH)
    (tmp_path / "c.jsonl").write_bytes(TEXT + b"\n\n" + TEXT + b"\n")
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(TEXT + b"\r\n" + TEXT))
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
        archive.writestr("z/2.json", TEXT)
        archive.writestr("z/1.json.gz", gzip.compress(TEXT))
        archive.writestr("readme.txt", "no graph")
        archive.mkdir("empty")
    (tmp_path / "f.json").write_bytes(b"\xef\xbb\xbf" + TEXT)
    items = read(tmp_path)
    assert all(isinstance(item, Graph) for item in items), items
    name = tmp_path.name
    assert [item.info.path for item in items] == [
        f"{name}/a.json",
        f"{name}/b.json.gz",
        f"{name}/c.jsonl#1",
        f"{name}/c.jsonl#3",
        f"{name}/d.jsonl.gz#1",
        f"{name}/d.jsonl.gz#2",
        f"{name}/e.zip!z/1.json.gz",
        f"{name}/e.zip!z/2.json",
        f"{name}/f.json",
    ]
    assert {item.links.weight.tolist()[0] for item in items} == {0.5}


def test_order_and_names_do_not_depend_on_where_the_folder_lies_or_how_it_is_given(tmp_path: Path) -> None:
    for place in ("here", "there/deep"):
        for name in ("b", "a", "sub/c"):
            factories.write(tmp_path / place / "graphs" / f"{name}.json", GRAPH)
    first = [source.name for source in find_sources([tmp_path / "here" / "graphs"])]
    assert first == ["graphs/a.json", "graphs/b.json", "graphs/sub/c.json"]
    assert [source.name for source in find_sources([tmp_path / "there" / "deep" / "graphs"])] == first


def test_a_file_given_twice_is_read_once_and_globs_work(tmp_path: Path) -> None:
    factories.write(tmp_path / "a.json", GRAPH)
    factories.write(tmp_path / "b.json", GRAPH)
    assert len(find_sources([tmp_path, tmp_path / "a.json", str(tmp_path / "*.json")])) == 2


def test_two_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for place in ("x", "y"):
        factories.write(tmp_path / place / "g" / "a.json", GRAPH)
    names = [source.name for source in find_sources([tmp_path / "x" / "g", tmp_path / "y" / "g"])]
    assert len(set(names)) == 2


@pytest.mark.parametrize("given", ["missing", "*.json", ""])
def test_a_path_that_names_nothing_is_an_error(tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        find_sources([given])


def test_files_that_lie_beside_graphs_are_not_read(tmp_path: Path) -> None:
    for name in ("metadata.json", "neuron_index.json"):
        (tmp_path / name).write_text("{ this is never parsed")
    for name in ("x-clusters.json", "x-analysis.json"):
        (tmp_path / name).write_text('{"clusters": []}')
    factories.write(tmp_path / "graph_00001.json", GRAPH)
    factories.write(tmp_path / "sentiment-analysis.json", GRAPH)  # looks like a companion, is a graph
    items = read(tmp_path)
    assert [item.reason for item in items if isinstance(item, Reject)] == ["companion_file"] * 4
    assert sum(isinstance(item, Graph) for item in items) == 2


HOSTILE = {
    "truncated": (TEXT[:-20], "bad_json"),
    "empty": (b"", "empty_file"),
    "blank": (b" \n ", "empty_file"),
    "text": (b"hello", "bad_json"),
    "binary": (bytes(range(256)), "bad_json"),
    "utf16": (TEXT.decode().encode("utf-16"), None),
    "list": (b"[]", "not_a_graph"),
    "number": (b"3", "not_a_graph"),
    "other object": (b'{"a": 1}', "not_a_graph"),
    "another program's empty graph": (b'{"nodes": [], "links": []}', "not_a_graph"),
    "a D3 graph": (
        b'{"nodes": [{"id": "a"}, {"id": "b"}], "links": [{"source": "a", "target": "b", "value": 1}]}',
        "not_a_graph",
    ),
    "numbered nodes": (b'{"nodes": [{"node_id": "1_2"}], "links": []}', "not_a_graph"),
    "nodes of another type": (b'{"nodes": {}, "links": []}', "not_a_graph"),
    "nodes null": (b'{"nodes": null, "links": []}', "not_a_graph"),
    "deep": (b'{"nodes": [], "links": [], "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "too_deep"),
    "deep objects": (b'{"x":' * 100_000 + b"1" + b"}" * 100_000, "too_deep"),
    "two objects": (TEXT + TEXT, "bad_json"),
    "huge integer": (b'{"nodes": [], "links": [], "x": ' + b"9" * 10_000 + b"}", None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_a_counted_reject(tmp_path: Path, name: str) -> None:
    data, reason = HOSTILE[name]
    (tmp_path / "bad.json").write_bytes(data)
    factories.write(tmp_path / "good.json", GRAPH)
    bad, good = read(tmp_path)
    assert isinstance(good, Graph)
    if reason is not None:
        assert isinstance(bad, Reject)
        assert bad.reason == reason
        assert bad.size_bytes == len(data)


def test_a_text_of_100_mb_is_a_reject(tmp_path: Path) -> None:
    graph = json.dumps(factories.ct_graph([factories.ct_feature(0, 1, clerp="@")], [])).replace("@", "x" * 100_000_000)
    (tmp_path / "long.json").write_text(graph)
    assert only_reject(tmp_path / "long.json").reason == "text_too_long"


def test_a_text_too_long_in_metadata_or_id_is_a_reject(tmp_path: Path) -> None:
    factories.write(tmp_path / "a.json", factories.ct_graph([], [], prompt="x" * 2**21))
    assert only_reject(tmp_path / "a.json").reason == "text_too_long"
    factories.write(tmp_path / "b.json", factories.ct_graph([{"node_id": "x" * 300}], []))
    assert only_reject(tmp_path / "b.json").reason == "text_too_long"


def test_a_file_that_unpacks_to_too_much_is_a_reject(tmp_path: Path) -> None:
    limits = ReadLimits(file_bytes=10_000)
    bomb = gzip.compress(b" " * 50_000)
    (tmp_path / "a.json.gz").write_bytes(bomb)
    (tmp_path / "b.jsonl").write_bytes(b" " * 50_000)
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.json", b" " * 50_000)
        archive.writestr("y.json", TEXT)
    items = read(tmp_path, limits=limits)
    assert [item.reason for item in items if isinstance(item, Reject)] == ["too_large"] * 3
    assert isinstance(items[-1], Graph)  # the next member of the archive still counts


@pytest.mark.parametrize("name", ["a.json.gz", "a.jsonl.gz", "a.zip"])
@pytest.mark.parametrize("data", [b"", b"nothing packed", gzip.compress(TEXT)[:-30]])
def test_a_damaged_archive_is_a_reject(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    items = read(tmp_path / name)
    if name == "a.jsonl.gz" and not data:
        assert items == []  # an empty gzip stream is no lines
        return
    assert items
    assert all(isinstance(item, Reject) for item in items)


def test_one_bad_line_costs_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(TEXT + b"\n{broken\n" + TEXT + b"\n")
    first, bad, last = read(tmp_path / "a.jsonl")
    assert isinstance(first, Graph)
    assert isinstance(last, Graph)
    assert isinstance(bad, Reject)
    assert (bad.path, bad.reason) == ("a.jsonl#2", "bad_json")


def test_lone_surrogates_and_nul_characters_survive_to_parquet(tmp_path: Path, aggregate_made) -> None:
    graph = factories.ct_graph(
        [factories.ct_feature(0, 1, clerp="bad \ud800 half")], [], prompt="nul \0 here", prompt_tokens=["\udfff", "b"]
    )
    stats = aggregate_made([graph])
    import polars as pl

    assert pl.read_parquet(stats / "graphs.parquet")["prompt"].to_list() == ["nul \0 here"]
    assert pl.read_parquet(stats / "graph_labels.parquet")["text"].to_list() == ["bad ? half"]


def test_a_folder_called_like_a_graph_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "g" / "x.json").mkdir(parents=True)
    factories.write(tmp_path / "g" / "x.json" / "a.json", GRAPH)
    assert [source.name for source in find_sources([tmp_path / "g"])] == ["g/x.json/a.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_a_reject(tmp_path: Path) -> None:
    factories.write(tmp_path / "a.json", GRAPH).chmod(0)
    assert only_reject(tmp_path / "a.json").reason == "unreadable"


def test_a_dangling_link_is_not_found(tmp_path: Path) -> None:
    factories.write(tmp_path / "a.json", GRAPH)
    (tmp_path / "b.json").symlink_to(tmp_path / "gone.json")
    assert [source.name.split("/")[-1] for source in find_sources([tmp_path])] == ["a.json"]


def test_stages_and_hidden_folders_among_the_graphs_are_passed_over(tmp_path: Path) -> None:
    """Once, an output folder below the graphs was read as graphs by the next run."""
    from atlas.pipeline import aggregate_graphs

    factories.write(tmp_path / "d" / "a.json", GRAPH)
    factories.write(tmp_path / "d" / ".cache" / "b.json", GRAPH)
    for _ in range(2):
        assert aggregate_graphs([tmp_path / "d"], tmp_path / "d" / "stats").rejects == {}


def test_suffixes_in_any_case_and_gzip_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "A.JSON").write_bytes(TEXT)
    (tmp_path / "b.json").write_bytes(gzip.compress(TEXT))
    (tmp_path / "c.json.gz").write_bytes(TEXT)
    with zipfile.ZipFile(tmp_path / "D.ZIP", "w") as archive:
        archive.writestr("X.JSON", TEXT)
        archive.writestr("y.jsonl", TEXT + b"\n" + TEXT)
    items = read(tmp_path)
    assert [type(item) for item in items] == [Graph] * 6


def test_members_that_are_not_read_are_named(tmp_path: Path) -> None:
    import warnings

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("x.json", TEXT)
        archive.writestr("x.json", TEXT + b" ")
        archive.writestr("inner.zip", b"")
    items = read(tmp_path / "a.zip")
    assert [(item.path, item.reason) for item in items if isinstance(item, Reject)] == [
        ("a.zip!inner.zip", "nested_archive"),
        ("a.zip!x.json", "duplicate_member"),
    ]
    assert sum(isinstance(item, Graph) for item in items) == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_damaged_anywhere_never_end_the_run(tmp_path: Path, method: int) -> None:
    import random

    with zipfile.ZipFile(tmp_path / "good.zip", "w", method) as archive:
        for name in ("a.json", "b.json"):
            archive.writestr(name, TEXT)
    whole = (tmp_path / "good.zip").read_bytes()
    rng = random.Random(3)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "bad.zip").write_bytes(data)
        for item in read(tmp_path / "bad.zip"):
            assert isinstance(item, Graph | Reject)


def test_names_and_keys_that_are_no_utf8(tmp_path: Path, aggregate_made) -> None:
    name = os.fsdecode(b"\xff\xfe.json")
    (tmp_path / "graphs").mkdir()
    (tmp_path / "graphs" / name).write_bytes(TEXT)
    (tmp_path / "graphs" / "surrogate.json").write_text('{"\\ud800": 1}')
    stats = aggregate_made([factories.random_graph(1)])
    import polars as pl

    assert pl.read_parquet(stats / "graphs.parquet")["path"].to_list() == ["graphs/??.json", "graphs/graph_00000.json"]
    assert pl.read_parquet(stats / "rejects.parquet")["reason"].to_list() == ["not_a_graph"]


def test_the_tolerant_reading_is_bounded(tmp_path: Path) -> None:
    limits = ReadLimits(tolerant_bytes=1000)
    (tmp_path / "a.json").write_text('{"nodes": [], "links": [NaN], "x": "' + "y" * 1000 + '"}')
    (item,) = read(tmp_path / "a.json", limits=limits)
    assert isinstance(item, Reject)
    assert item.reason == "too_large"


def test_the_memory_of_a_run_bounds_what_a_file_may_unpack_to(tmp_path: Path) -> None:
    """A packed file is refused by the size that it states, before anything of it is unpacked."""
    import tracemalloc

    limits = ReadLimits.of(500_000_000)
    assert limits.file_bytes == 62_500_000
    assert ReadLimits.of(10**12) == ReadLimits()
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b" " * 80_000_000, 1))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.json", b" " * 80_000_000)
    tracemalloc.start()
    items = read(tmp_path, limits=limits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [item.reason for item in items] == ["too_large"] * 2
    assert "62500000" not in items[0].message
    assert "more than 59 MiB unpacked; for a real graph of that size raise --memory" in items[0].message
    assert peak < 5_000_000


def test_a_checkpoint_of_many_pickles_is_refused_early(tmp_path: Path) -> None:
    import pickle

    from atlas.errors import InputError
    from atlas.importers.checkpoint import import_checkpoint

    (tmp_path / "latest.dat").write_bytes(pickle.dumps({}) * 3000)
    with pytest.raises(InputError, match="holds more than 6 pickles|holds no"):
        import_checkpoint(tmp_path / "latest.dat", tmp_path / "stats")
