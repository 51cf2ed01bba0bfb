"""Weights to connections: against brute force on small models of every architecture, killed half way, damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from click.testing import CliRunner  # noqa: E402
from conftest import ROOT  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from atlas.cli.main import main  # noqa: E402
from atlas.errors import InputError, OutputError, StageError, UsageError  # noqa: E402
from atlas.graph import Space  # noqa: E402
from atlas.options import WireOptions  # noqa: E402
from atlas.stages.stats_writer import StatsWriter  # noqa: E402
from atlas.wiring import Weights, wire  # noqa: E402
from atlas.wiring.top_k import TopK  # noqa: E402

DEMO = ROOT / "build" / "demo"
LAYERS, NEURONS, WIDTH = 4, 23, 16
ENDS = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")


def make_model(folder: Path, *, seed: int = 0, behind: bool = False, prefix: str = "model.", dtype: Any = torch.float32, shards: int = 1, layers: int = LAYERS) -> Path:  # fmt: skip
    """A random model's folder; with `behind` the norm of the MLP stands behind it, as in OLMo 2 and 3."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(layers):
        for name, shape in (("up", (NEURONS, WIDTH)), ("gate", (NEURONS, WIDTH)), ("down", (WIDTH, NEURONS))):
            tensors[f"{prefix}layers.{layer}.mlp.{name}_proj.weight"] = torch.randn(shape, generator=generator).to(
                dtype
            )
        for name in ("post_attention_layernorm", *(["post_feedforward_layernorm"] if behind else [])):
            tensors[f"{prefix}layers.{layer}.{name}.weight"] = torch.rand(WIDTH, generator=generator).to(dtype) + 0.5
    folder.mkdir(parents=True)
    config = {
        "model_type": "llama",
        "num_hidden_layers": layers,
        "intermediate_size": NEURONS,
        "hidden_size": WIDTH,
        "hidden_act": "silu",
    }
    (folder / "config.json").write_text(json.dumps(config))
    names = sorted(tensors)
    files = {name: f"model-{number % shards}.safetensors" for number, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: tensors[name] for name in names if files[name] == file}, folder / file)
    if shards > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return folder


def every_pair(folder: Path, *, fold: bool = False, behind: bool = False, prefix: str = "model.") -> dict[tuple[int, ...], tuple[float, float]]:  # fmt: skip
    """(c_up, c_gate) of all pairs, by the definition, in float64."""
    weights: dict[str, Any] = {}
    for path in folder.glob("*.safetensors"):
        weights |= {name.removeprefix(prefix): value.double() for name, value in load_file(path).items()}
    found = {}
    for upper in range(LAYERS):
        for lower in range(upper):
            down = weights[f"layers.{lower}.mlp.down_proj.weight"]
            reads = [weights[f"layers.{upper}.mlp.{name}_proj.weight"] for name in ("up", "gate")]
            if fold and behind:
                down = down * weights[f"layers.{lower}.post_feedforward_layernorm.weight"][:, None]
            elif fold:
                reads = [read * weights[f"layers.{upper}.post_attention_layernorm.weight"] for read in reads]
            for target in range(NEURONS):
                for source in range(NEURONS):
                    up, gate = (float(read[target] @ down[:, source]) for read in reads)
                    found[lower, source, upper, target] = up, gate
    return found


Factors = dict[tuple[int, ...], tuple[float, float]]


def polarity_of(pair: tuple[int, ...], up: float, gate: float, factors: Factors) -> tuple[str, float]:
    """The list a pair belongs to, and what it is ranked by."""
    if pair[2:] in factors:
        of_up, of_gate = factors[pair[2:]]
        derivative = (of_up * up + of_gate * gate) / max(abs(of_up), abs(of_gate))
        return "excitatory" if derivative > 0 else "inhibitory", abs(derivative)
    name = "mixed" if up * gate < 0 else "excitatory" if up > 0 else "inhibitory"
    return name, abs(up) + abs(gate)


def ranked(
    pairs: dict[tuple[int, ...], tuple[float, float]], top: int, factors: Factors
) -> dict[str, dict[tuple[int, ...], int]]:
    """Rank of the listed pairs by direction, one list per neuron and polarity."""
    lists: dict[tuple[Any, ...], list[tuple[float, tuple[int, ...]]]] = {}
    for pair, (up, gate) in pairs.items():
        polarity, strength = polarity_of(pair, up, gate, factors)
        for direction, neuron in (("upstream", pair[2:]), ("downstream", pair[:2])):
            lists.setdefault((direction, neuron, polarity), []).append((-strength, pair))
    found: dict[str, dict[tuple[int, ...], int]] = {"upstream": {}, "downstream": {}}
    for (direction, _, _), candidates in lists.items():
        found[direction] |= {pair: rank for rank, (_, pair) in enumerate(sorted(candidates)[:top], 1)}
    return found


def connections(stats: Path) -> list[dict[str, Any]]:
    return duckdb.sql(f"FROM '{stats}/connections.parquet'").pl().to_dicts()


def assert_is_brute_force(
    stats: Path, pairs: dict[tuple[int, ...], tuple[float, float]], top: int, factors: Factors | None = None
) -> None:
    factors = factors or {}
    expected = ranked(pairs, top, factors)
    rows = connections(stats)
    keys = [(row["src_layer"], row["src_neuron"], row["tgt_layer"], row["tgt_neuron"]) for row in rows]
    assert keys == sorted(set(keys))
    for direction in ("upstream", "downstream"):
        listed = {
            key: row[f"{direction}_rank"] for key, row in zip(keys, rows, strict=True) if row[f"{direction}_rank"]
        }
        assert listed == expected[direction]
    for key, row in zip(keys, rows, strict=True):
        up, gate = pairs[key]
        assert (row["c_up"], row["c_gate"]) == pytest.approx((up, gate), rel=1e-4, abs=1e-5)
        assert row["polarity"] == polarity_of(key, up, gate, factors)[0]
        if up * gate < 0:
            assert row["strength"] is row["confidence"] is None
        else:
            assert row["strength"] == pytest.approx(up + gate, rel=1e-4)
            confidence = min(abs(up), abs(gate)) / max(abs(up), abs(gate))
            assert row["confidence"] == pytest.approx(confidence, rel=1e-3, abs=1e-4)
        if key[2:] in factors:
            of_up, of_gate = factors[key[2:]]
            assert row["derivative"] == pytest.approx(of_up * up + of_gate * gate, rel=1e-3, abs=1e-4)
        else:
            assert row["derivative"] is None


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("fold", [False, True])
def test_the_lists_are_those_of_brute_force(tmp_path: Path, behind: bool, fold: bool) -> None:
    model = make_model(tmp_path / "m", behind=behind)
    # So little memory that a tile is a few rows.
    wire(
        model,
        tmp_path / "stats",
        WireOptions(top_connections=3, fold_norms=fold),
        device="cpu",
        memory=40 * NEURONS * 5,
    )
    assert_is_brute_force(tmp_path / "stats", every_pair(model, fold=fold, behind=behind), 3)


def traced(folder: Path, model: Path) -> Factors:
    """Statistics that state regimes of every second neuron of the upper layers; mean factors by neuron."""
    import random

    rng = random.Random(5)
    writer, found = StatsWriter(folder), {}
    for layer in range(1, LAYERS):
        for neuron in range(0, NEURONS, 2):
            count = rng.randrange(1, 9)
            sums = rng.gauss(0.3, 1) * count, rng.gauss(0, 1) * count
            counts = {f"{name}_count": 0 for name in ("both_positive", "up_negative", "gate_negative", "both_negative")}
            row = {"layer": layer, "neuron": neuron, "node_count": count, **counts}
            writer.add(
                "regimes",
                {key: [value] for key, value in {**row, "up_factor_sum": sums[0], "gate_factor_sum": sums[1]}.items()},
            )
            found[layer, neuron] = sums[0] / count, sums[1] / count
    writer.finish(
        Space("m", None, "neuron"), "relp", [], options={"traced_mlps": Weights(model).mlp_signature}, counts={}
    )
    writer.close()
    return found


def test_known_regimes_decide_sign_and_rank_of_a_connection(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m")
    (tmp_path / "traced").mkdir()
    factors = traced(tmp_path / "traced", model)
    wire(
        model,
        tmp_path / "stats",
        WireOptions(top_connections=3),
        regimes=tmp_path / "traced",
        device="cpu",
        memory=40 * NEURONS * 5,
    )
    assert_is_brute_force(tmp_path / "stats", every_pair(model), 3, factors)
    rows = connections(tmp_path / "stats")
    assert {row["polarity"] for row in rows} == {"excitatory", "inhibitory", "mixed"}
    # Half of the pairs with a known regime have products of opposite signs, and are kept.
    known = [row for row in rows if row["derivative"] is not None]
    assert sum(row["strength"] is None for row in known) > 0.2 * len(known)
    edges = duckdb.sql(f"FROM '{tmp_path}/stats/edges/*.parquet'").pl().to_dicts()
    assert len(edges) == sum(row["polarity"] != "mixed" for row in rows)
    weight = {tuple(edge[key] for key in ENDS): edge["weight_sum"] for edge in edges}
    for row in rows:
        if row["polarity"] != "mixed":
            assert weight[tuple(row[key] for key in ENDS)] == (
                row["strength"] if row["derivative"] is None else row["derivative"]
            )


def test_regimes_of_something_else_are_refused(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m")
    (tmp_path / "none").mkdir()
    writer = StatsWriter(tmp_path / "none")
    writer.finish(Space("m", None, "neuron"), "relp", [], options={}, counts={})
    writer.close()
    with pytest.raises(InputError, match="states no regimes"):
        wire(model, tmp_path / "stats", regimes=tmp_path / "none", device="cpu")
    with pytest.raises(StageError, match="is no stats folder"):
        wire(model, tmp_path / "stats", regimes=tmp_path / "nothing", device="cpu")
    (tmp_path / "traced").mkdir()
    traced(tmp_path / "traced", model)
    for other in (make_model(tmp_path / "small", layers=2), make_model(tmp_path / "other", seed=1)):
        with pytest.raises(InputError, match="was traced from another model"):
            wire(other, tmp_path / "stats", regimes=tmp_path / "traced", device="cpu")
    # The same weights in another type are the same model.
    rounded = make_model(tmp_path / "rounded", dtype=torch.bfloat16)
    wire(rounded, tmp_path / "stats", regimes=tmp_path / "traced", device="cpu")
    with pytest.raises(OutputError, match="holds statistics of graphs"):
        wire(model, tmp_path / "traced", regimes=tmp_path / "traced", device="cpu")
    assert (tmp_path / "traced" / "regimes.parquet").exists()


def test_norms_behind_the_mlp_are_folded_by_default(tmp_path: Path) -> None:
    for behind in (False, True):
        model = make_model(tmp_path / str(behind), behind=behind)
        wire(model, tmp_path / "stats", WireOptions(top_connections=3), device="cpu")
        assert_is_brute_force(tmp_path / "stats", every_pair(model, fold=behind, behind=behind), 3)


@pytest.mark.parametrize("options", [{"shards": 3}, {"prefix": "model.language_model."}, {"prefix": ""}, {"dtype": torch.bfloat16}])  # fmt: skip
def test_files_of_every_kind(tmp_path: Path, options: dict[str, Any]) -> None:
    model = make_model(tmp_path / "m", **options)
    wire(model, tmp_path / "stats", WireOptions(top_connections=4), device="cpu")
    assert_is_brute_force(tmp_path / "stats", every_pair(model, prefix=options.get("prefix", "model.")), 4)


def test_more_connections_than_there_are(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m")
    summary = wire(model, tmp_path / "stats", WireOptions(top_connections=1000), device="cpu")
    pairs = every_pair(model)
    assert_is_brute_force(tmp_path / "stats", pairs, 1000)
    assert summary.connections == summary.upstream == summary.downstream == len(pairs)


def test_every_neuron_but_those_of_the_last_layer_has_its_lists(tmp_path: Path) -> None:
    """As published for OLMo-3-7B: 31 layers x 11,008 neurons x 20 = 6,824,960 downstream connections."""
    summary = wire(DEMO, tmp_path / "stats", device="cpu")
    assert (summary.layers, summary.neurons) == (5, 1600)
    assert summary.downstream == summary.upstream == (5 - 1) * 320 * 30
    assert summary.operations == 10 * 320 * 320 * 4 * 128
    counts = duckdb.sql(f"SELECT src_layer, count(downstream_rank), max(downstream_rank) FROM '{tmp_path}/stats/connections.parquet' GROUP BY ALL ORDER BY ALL").fetchall()  # fmt: skip
    assert counts == [(layer, 9600, 10) for layer in range(4)]
    counts = duckdb.sql(f"SELECT count(downstream_rank) FROM '{tmp_path}/stats/connections.parquet' WHERE polarity <> 'mixed'").fetchall()  # fmt: skip
    assert counts == [(4 * 320 * 20,)]


def test_edges_say_the_strength_and_nothing_that_is_not_known(tmp_path: Path) -> None:
    wire(make_model(tmp_path / "m"), tmp_path / "stats", WireOptions(top_connections=2), device="cpu", name="mine")
    edges = duckdb.sql(f"FROM '{tmp_path}/stats/edges/*.parquet'").pl().to_dicts()
    found = [row for row in connections(tmp_path / "stats") if row["polarity"] != "mixed"]
    assert len(edges) == len(found)
    for edge, connection in zip(edges, found, strict=True):
        assert (edge["src_layer"], edge["src_neuron"], edge["tgt_layer"], edge["tgt_neuron"]) == tuple(connection[key] for key in ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron"))  # fmt: skip
        assert edge["weight_sum"] == edge["weight_min"] == edge["weight_max"] == connection["strength"]
        assert (edge["method"], edge["count"], edge["graph_count"], edge["positive_count"]) == ("weight_graph", 1, None, int(connection["strength"] > 0))  # fmt: skip
    manifest = json.loads((tmp_path / "stats" / "manifest.json").read_text())
    assert Space(**manifest["space"]) == Space("mine", None, "neuron", "weight_graph")


@pytest.mark.parametrize("when", [1, 2, 4])
def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: int) -> None:  # fmt: skip
    model = make_model(tmp_path / "m")
    wire(model, tmp_path / "whole", WireOptions(top_connections=3), device="cpu")
    monkeypatch.setattr("atlas.wiring.run.SAVE_SECONDS", 0.0)

    class Stopped(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if done == when:
            raise Stopped

    with pytest.raises(Stopped):
        wire(model, tmp_path / "stats", WireOptions(top_connections=3), device="cpu", progress=stop)
    assert not (tmp_path / "stats").exists()
    seen: list[int] = []
    wire(model, tmp_path / "stats", WireOptions(top_connections=3), device="cpu", progress=lambda what, done, total: seen.append(done))  # fmt: skip
    assert min(seen[:1]) == {1: 1, 2: 1, 4: 3}[when]  # from the first pair of the layer that was not finished
    for name in ("connections.parquet", "edges/part-00000.parquet", "manifest.json"):
        assert (tmp_path / "stats" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(tmp_path.glob(".*wiring"))


def test_what_other_weights_or_options_left_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atlas.wiring.run.SAVE_SECONDS", 0.0)

    def stop(what: str, done: int, total: int) -> None:
        if done == 4:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        wire(make_model(tmp_path / "a"), tmp_path / "stats", device="cpu", progress=stop)
    other = make_model(tmp_path / "b", seed=1)
    wire(other, tmp_path / "stats", WireOptions(top_connections=2), device="cpu")
    assert_is_brute_force(tmp_path / "stats", every_pair(other), 2)


def test_the_running_top_k_is_the_top_k() -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(5, 60, generator=generator)
    kept = TopK.none(5, 7, "cpu")
    for start in range(0, 60, 9):
        some = values[:, start : start + 9]
        kept.offer(0, slice(0, 5), some, some * 2, some, torch.arange(start, start + some.shape[1]))
    best, place = values.topk(7, dim=1)
    assert torch.equal(kept.strength[0], best)
    assert torch.equal(kept.partner[0], place)
    assert torch.equal(kept.gate[0], best * 2)


def damaged(folder: Path, what: str) -> None:
    config = folder / "config.json"
    weights = load_file(folder / "model-0.safetensors")
    if what == "no config":
        config.unlink()
    elif what == "no number":
        config.write_text('{"num_hidden_layers": 4}')
    elif what == "gelu":
        config.write_text(config.read_text().replace("silu", "gelu"))
    elif what == "no weights":
        (folder / "model-0.safetensors").unlink()
    elif what == "cut":
        (folder / "model-0.safetensors").write_bytes((folder / "model-0.safetensors").read_bytes()[:100])
    elif what == "no gate":
        save_file({key: value for key, value in weights.items() if "2.mlp.gate" not in key}, folder / "model-0.safetensors")  # fmt: skip
    elif what == "no mlp":
        save_file({"x": torch.zeros(1)}, folder / "model-0.safetensors")
    elif what == "shape":
        config.write_text(config.read_text().replace(f'"intermediate_size": {NEURONS}', '"intermediate_size": 99'))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no config", "config.json cannot be read"),
        ("no number", "does not say 'intermediate_size'"),
        ("gelu", "the activation gelu"),
        ("no weights", "holds no \\*.safetensors"),
        ("cut", "cannot be read"),
        ("no gate", "has no model.layers.2.mlp.gate_proj.weight"),
        ("no mlp", "gated MLPs of the Llama family"),
        ("shape", "config.json asks for"),
    ],
)
def test_what_is_no_such_model_is_said(tmp_path: Path, what: str, said: str) -> None:
    damaged(make_model(tmp_path / "m"), what)
    with pytest.raises(InputError, match=said):
        wire(tmp_path / "m", tmp_path / "stats", device="cpu")
    assert not (tmp_path / "stats").exists()


def test_a_wrong_output_and_wrong_options_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="holds no stats"):
        wire(DEMO, tmp_path / "mine", device="cpu")
    with pytest.raises(UsageError, match="--top-connections must be from 1 to 1000"):
        WireOptions(top_connections=0)


def test_the_command(tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "demo")
    done = CliRunner().invoke(
        main, ["wire", str(tmp_path / "demo"), "-o", str(tmp_path / "stats"), "--top-connections", "5"]
    )
    assert done.exit_code == 0, done.output
    assert "1,600 neurons in 5 layers" in done.stderr
    assert "19,200 downstream, 19,200 upstream" in done.stderr
