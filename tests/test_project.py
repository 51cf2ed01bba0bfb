"""What weights say by themselves against slow reference_impl; the llama2.c converter; the demo's recipe."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import struct
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from conftest import DEMO_SETTINGS, ROOT  # noqa: E402
from trace_models import ARCHITECTURES, tiny  # noqa: E402

import atlas  # noqa: E402
from atlas.activations.direct_effects import direct_effect_ratios, effect_table  # noqa: E402
from atlas.activations.exemplars import Exemplars, automatic_labels  # noqa: E402
from atlas.activations.projections import projections  # noqa: E402
from atlas.database import open_atlas, run_checks  # noqa: E402
from atlas.errors import InputError  # noqa: E402
from atlas.importers.llama2c import convert  # noqa: E402
from atlas.models import Prompt, load_model  # noqa: E402
from atlas.models.cache import activation  # noqa: E402
from atlas.models.tokens import passage, readable, shown  # noqa: E402
from atlas.options import ProjectOptions, PromptOptions  # noqa: E402
from atlas.pipeline import project_model, run_recipe, trace_prompts  # noqa: E402
from atlas.pipeline.recipe import find_recipe, load_recipe  # noqa: E402
from atlas.stages import DATASETS  # noqa: E402

DEMO = ROOT / "build" / "demo"
PROMPTS = [(3, 14, 15, 9, 26), (5, 8), (1, 2, 3, 4, 5, 6, 7)]


def test_projections_are_their_products() -> None:
    model = tiny("llama")
    found = [table.to_pylist() for _, table, _ in projections(model, top=4, memory=50 * 4 * 4 * 5)]
    assert len(found) == 9  # 12 neurons, 5 at a time, in 3 layers
    rows: dict[Any, list[Any]] = {}
    for row in [row for table in found for row in table]:
        rows.setdefault((row["layer"], row["neuron"], row["projection_kind"], row["direction"]), []).append(row)
    embedding, unembedding = model.embedding.numpy(), model.unembedding.numpy()
    for layer, block in enumerate(model.blocks):
        mlp = block.mlp.module
        for neuron in range(12):
            up, gate = mlp.up_proj.weight[neuron].numpy(), mlp.gate_proj.weight[neuron].numpy()
            lifted, opened = embedding @ up, embedding @ gate
            products = {
                ("output", "promotes"): unembedding @ mlp.down_proj.weight[:, neuron].numpy(),
                ("input_up", "activates"): lifted,
                ("input_gated", "activates"): opened / (1 + np.exp(-opened)) * lifted,
            }
            for (kind, direction), product in products.items():
                best = np.argsort(-product, kind="stable")
                for name, order in ((direction, best[:4]), ("suppresses", best[::-1][:4])):
                    mine = rows[layer, neuron, kind, name]
                    assert [row["rank"] for row in mine] == [1, 2, 3, 4]
                    assert [row["token_id"] for row in mine] == order.tolist()
                    assert [row["token"] for row in mine] == [f"t{token}" for token in order]
                    np.testing.assert_allclose([row["weight"] for row in mine], product[order], rtol=1e-12)


def test_norms() -> None:
    model = tiny("qwen3")
    for layer, _, norms in projections(model, top=1):
        mlp = model.blocks[layer].mlp.module
        found = norms.to_pydict()
        np.testing.assert_allclose(found["output_norm"], mlp.down_proj.weight.norm(dim=0), rtol=1e-12)
        np.testing.assert_allclose(found["up_norm"], mlp.up_proj.weight.norm(dim=1), rtol=1e-12)
        np.testing.assert_allclose(found["gate_norm"], mlp.gate_proj.weight.norm(dim=1), rtol=1e-12)


def slow_ratio(model: Any, ids: tuple[int, ...], layer: int, neuron: int) -> float:
    """The definition, with whole forward passes."""
    added = model.blocks[layer].mlp.module.down_proj.weight[:, neuron]

    def run(vector: Any) -> tuple[Any, Any]:
        streams = []

        def hook(_: Any, __: Any, output: Any) -> Any:
            output = output.clone()
            output[0, -1] += vector
            return output

        hooks = [
            model.model.model.layers[layer].register_forward_hook(hook),
            model.final_norm.register_forward_pre_hook(lambda _, args: streams.append(args[0][0, -1])),
        ]
        with torch.no_grad():
            logits = model.model(torch.tensor([ids])).logits[0, -1]
        for one in hooks:
            one.remove()
        return logits, streams[0]

    clean, stream = run(torch.zeros_like(added))
    total = run(added)[0] - clean
    direct = model.model.get_output_embeddings()(model.final_norm(stream + added)) - clean
    token = int(clean.argmax())
    whole = abs(float(direct[token])) + abs(float(total[token] - direct[token]))
    return 0.5 if whole < 1e-8 else abs(float(direct[token])) / whole


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_direct_effect_ratios_are_their_definition(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The twin's attention in float64, too: transformers takes its softmax in float32.
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda value, dim, dtype=None: torch.softmax(value, dim))
    model = tiny(architecture)
    ratios = direct_effect_ratios(model, PROMPTS, memory=10_000, progress=lambda done, total: None)
    assert ratios.shape == (3, 3, 12)
    for row, ids in enumerate(PROMPTS):
        for layer, neuron in ((0, 0), (0, 7), (1, 3), (1, 11), (2, 5)):
            assert ratios[row, layer, neuron] == pytest.approx(slow_ratio(model, ids, layer, neuron), rel=1e-6)
    # Nothing stands between the last layer and the logits.
    np.testing.assert_allclose(ratios[:, 2], 1.0, rtol=1e-6)


def test_ratios_of_coarse_weights_are_not_noise() -> None:
    """Weights may be bfloat16; what a neuron adds would be lost in a stream of that precision."""
    model = tiny("llama", dtype=torch.bfloat16)
    ratios = direct_effect_ratios(model, PROMPTS, progress=lambda done, total: None)
    np.testing.assert_allclose(ratios[:, 2], 1.0, rtol=1e-6)
    exact = tiny("llama", dtype=torch.bfloat16)
    exact.model.to(torch.float64)
    expected = direct_effect_ratios(exact, PROMPTS, progress=lambda done, total: None)
    assert np.abs(ratios - expected).mean() < 0.02


def test_prompts_without_numbers_are_no_part_of_ratios() -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.embedding[7] = float("nan")
    ratios = direct_effect_ratios(model, [(3, 7, 5), (3, 4, 5)], progress=lambda done, total: None)
    assert ratios.shape == (1, 3, 12)
    assert np.isfinite(ratios).all()
    assert len(effect_table(ratios[:0])) == 0


def test_the_distribution_of_ratios() -> None:
    ratios = np.array([[[0.9, 0.1, 0.5]], [[0.7, 0.2, 0.6]]])
    rows = effect_table(ratios).to_pylist()
    assert [row["effect_type"] for row in rows] == ["logit", "routing", "mixed"]
    assert rows[0]["ratio_mean"] == pytest.approx(0.8)
    assert rows[0]["ratio_std"] == pytest.approx(0.1)
    assert (rows[1]["ratio_min"], rows[1]["ratio_max"], rows[1]["prompt_count"]) == (0.1, 0.2, 2)


def test_exemplars_are_the_strongest_places() -> None:
    model = tiny("olmo2")
    rng = np.random.default_rng(1)
    prompts = [
        Prompt(f"p/{number}", "", tuple(rng.integers(1, 50, size).tolist())) for number, size in enumerate((6, 3, 9, 2))
    ]
    kept = Exemplars(model, top=3)
    kept.add(prompts[:3])
    kept.add(prompts[3:])
    places: dict[tuple[int, int], list[tuple[float, int, str]]] = {}
    for prompt in prompts:
        cache = model.forward([list(prompt.ids)])
        for layer, values in enumerate(cache.layers):
            for position in range(1, len(prompt.ids)):
                for neuron, value in enumerate(activation(values)[0, position].tolist()):
                    places.setdefault((layer, neuron), []).append((value, position, prompt.path))
    found: dict[tuple[int, int, int], list[Any]] = {}
    for row in kept.table().to_pylist():
        found.setdefault((row["layer"], row["neuron"], row["sign"]), []).append(row)
        assert row["token"] == f"t{row['token_id']}"
    for (layer, neuron), all_ in places.items():
        for sign in (1, -1):
            best = sorted((one for one in all_ if one[0] * sign > 0), key=lambda one: -abs(one[0]))[:3]
            mine = found.get((layer, neuron, sign), [])
            assert [(row["position"], row["prompt_path"]) for row in mine] == [one[1:] for one in best]
            np.testing.assert_allclose([row["activation"] for row in mine], [one[0] for one in best], rtol=1e-5)


def test_exemplars_forget_the_prompts_that_they_do_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    drawn = random.Random(3)
    prompts = [Prompt(f"p/{number}", "", tuple(drawn.randrange(50) for _ in range(6))) for number in range(120)]
    tables = []
    for most in (1 << 20, 40):
        monkeypatch.setattr("atlas.activations.exemplars.PRUNED_TOKENS", most)
        kept = Exemplars(model, top=2)
        for start in range(0, 120, 8):
            kept.add(prompts[start : start + 8])
        tables.append(kept.table())
        assert (len(kept._paths) < 120) == (most == 40)
    assert tables[0].equals(tables[1])


def test_what_is_no_number_is_no_exemplar() -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.embedding[7] = float("nan")
    kept = Exemplars(model, top=2)
    kept.add([Prompt("p/0", "", (3, 7, 5)), Prompt("p/1", "", (3, 4, 5))])
    assert set(kept.table()["prompt_path"].to_pylist()) == {"p/1"}


def test_labels_are_made_of_exemplars_and_projections() -> None:
    kept = Exemplars(tiny("llama"), top=2)
    kept.add([Prompt("p/0", "", PROMPTS[0]), Prompt("p/1", "", PROMPTS[2])])
    table = kept.table()
    says = {(neuron, side): [len(side), 1] for neuron in range(12) for side in ("promotes", "suppresses")}
    labels = {(row["layer"], row["neuron"], row["kind"]): row for row in automatic_labels(tiny("llama"), table, lambda layer: says).to_pylist()}  # fmt: skip
    rows = [row for row in table.to_pylist() if (row["layer"], row["neuron"]) == (1, 4)]
    strongest = max(rows, key=lambda row: abs(row["activation"]))
    direction = "promotes" if strongest["sign"] > 0 else "suppresses"
    output, fires = labels[1, 4, "output"], labels[1, 4, "input"]
    assert output["label"] == f"{fires['label']}: ‘ t{len(direction)}’ ‘ t1’"
    assert fires["label"].startswith(f"on ‘ {strongest['token']}’")
    assert (output["source"], output["confidence"]) == ("automatic", "low")
    assert readable("▁the") == " the"


def test_tokens_are_shown_as_text() -> None:
    demo = load_model(DEMO, device="cpu")
    ids = demo.tokenizer("# caf\u00e9\n\tself")["input_ids"]
    assert passage(demo, ids[1:]) == "# caf\u00e9\\n\\tself"
    assert "".join(shown(demo, demo.tokenizer(" self\n")["input_ids"][1:])) == " self\\n"
    # Half of a character is no text, and is spelled as the vocabulary has it.
    split_half = shown(demo, demo.tokenizer("\u00e9")["input_ids"][1:])
    assert len(split_half) == 2
    assert "\ufffd" not in "".join(split_half)


def test_an_automatic_label_without_promoted_tokens() -> None:
    one = {"layer": 0, "sign": 1, "rank": 1, "activation": 2.0, "prompt_path": "p", "position": 1, "context": "x", "token_id": 3, "token": "a"}  # fmt: skip
    table = DATASETS["projections.exemplars"].table({key: [value] for key, value in one.items()} | {"neuron": [4]})
    assert [row["label"] for row in automatic_labels(tiny("llama"), table, lambda _: {}).to_pylist()] == [
        "on ‘ t3’"
    ] * 2


# llama2.c


@pytest.mark.slow
def test_a_model_of_llama2c(data: Path, tmp_path: Path, atlas_command: Any) -> None:
    given = data / "models" / "stories260K"
    done = atlas_command(
        "import", "llama2c", given / "stories260K.bin", given / "tok512.bin", "-o", tmp_path / "stories"
    )
    assert done.returncode == 0, done.stderr
    assert "5 layers of 172 neurons, width 64, 512 tokens" in done.stderr
    model = load_model(tmp_path / "stories", device="cpu")
    stories = (data / "text" / "tinystories_sample.txt").read_text().split("<|endoftext|>")[:25]
    losses, count = 0.0, 0
    for story in stories:
        ids = torch.tensor([model.tokenizer(story.strip())["input_ids"][:256]])
        with torch.no_grad():
            losses += float(model.model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert losses / count == pytest.approx(1.25, abs=0.03)  # as the README of the data says
    text = data / "text" / "tinystories_sample.txt"
    corpus = PromptOptions(separator="<|endoftext|>", limit=8, seed=3, max_tokens=40, truncate=True)
    traced, summary = trace_prompts(model, text, tmp_path / "stats", corpus=corpus)
    assert (traced.graphs, traced.rejects.total()) == (8, 0)
    assert summary is not None
    assert summary.edges > 10_000
    tokens = duckdb.sql(f"SELECT DISTINCT token FROM '{tmp_path}/stats/tokens.parquet'").fetchall()
    assert (" Lily",) in tokens or (" was",) in tokens


def made_llama2c(tied: bool) -> bytes:
    width, hidden, layers, heads, kv, words, positions = 8, 12, 2, 4, 2, 300, 16
    rng = np.random.default_rng(0)
    head = width // heads
    sizes = [words * width, layers * width, layers * width**2, 2 * layers * kv * head * width, layers * width**2]
    sizes += [layers * width, 3 * layers * width * hidden, width, positions * head, 0 if tied else words * width]
    return (
        struct.pack("<7i", width, hidden, layers, heads, kv, words if tied else -words, positions)
        + rng.normal(size=sum(sizes)).astype("<f4").tobytes()
    )


def made_tokens(count: int = 300) -> bytes:
    texts = [
        "<unk>",
        "\n<s>\n",
        "\n</s>\n",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *(chr(200 + i) for i in range(count - 259)),
    ]
    return struct.pack("<i", 8) + b"".join(
        struct.pack("<fi", -float(number), len(text.encode())) + text.encode() for number, text in enumerate(texts)
    )


@pytest.mark.parametrize("tied", [True, False])
def test_made_models_convert(tmp_path: Path, tied: bool) -> None:
    (tmp_path / "m.bin").write_bytes(made_llama2c(tied))
    (tmp_path / "t.bin").write_bytes(made_tokens())
    convert(tmp_path / "m.bin", tmp_path / "t.bin", tmp_path / "model")
    model = load_model(tmp_path / "model", device="cpu")
    assert (model.unembedding is model.embedding) is tied
    assert model.tokenizer("È")["input_ids"][0] == 1


@pytest.mark.parametrize(
    ("weights", "tokens", "said"),
    [
        (b"", made_tokens(), "is no llama2.c model: its header says"),
        (made_llama2c(True)[:-4], made_tokens(), "its header asks for"),
        (struct.pack("<7i", 8, 12, 2, 3, 2, 300, 16), made_tokens(), "its header says"),
        (struct.pack("<7i", *[2**30] * 7), made_tokens(), "its header"),
        (made_llama2c(True), made_tokens()[:500], "ends within token|is no llama2.c tokenizer"),
        (made_llama2c(True), b"", "is no llama2.c tokenizer"),
    ],
)
def test_what_is_no_llama2c_model_is_said(tmp_path: Path, weights: bytes, tokens: bytes, said: str) -> None:
    (tmp_path / "m.bin").write_bytes(weights)
    (tmp_path / "t.bin").write_bytes(tokens)
    with pytest.raises(InputError, match=said):
        convert(tmp_path / "m.bin", tmp_path / "t.bin", tmp_path / "model")
    assert not (tmp_path / "model").exists()


# The demo


@pytest.fixture
def demo_atlas(demo: Path) -> Path:
    return demo / "out" / "demo.duckdb"


def test_the_demo_is_up_to_date_after_its_build(demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo / "out", tmp_path / "out")
    path = find_recipe("demo")
    again = run_recipe(load_recipe(path, DEMO_SETTINGS, output=tmp_path / "out" / "demo.duckdb"), recipe_path=path)
    assert [stage.name for stage in again.stages] == ["stats", "wiring", "projections", "activations", "measures", "activations-2", "features-2", "measures-2", "clusters-infomap", "clusters-leiden", "clusters-profiles", "circuits", "verify", "labels", "atlas"]  # fmt: skip
    assert not [stage.name for stage in again.stages if stage.ran]


def test_the_demo_is_a_whole_atlas(demo_atlas: Path) -> None:
    with open_atlas(demo_atlas) as con:
        assert [result.describe() for result in run_checks(con) if not result.passed] == []
        facts = dict(con.execute("FROM metadata").fetchall())
        assert (facts["model"], facts["link_weight"], facts["total_graphs"]) == (
            "circuit-atlas-demo",
            "direct_effect",
            "90",
        )
        assert facts["links_dropped"] == "0"
        roles = con.execute("SELECT role, count(*) FROM sources GROUP BY ALL").fetchall()
        assert {role for role, _ in roles} == {"graph", "labels", "model", "prompts", "recipe"}
        empty = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall() if not con.execute(f"SELECT count(*) FROM {name}").fetchone()[0]]  # fmt: skip
        assert set(empty) <= {
            "rejects",
            "reports",
            "report_examples",
            "stated_stats",
            "cluster_memberships",
            "resolutions",
        }
        assert con.execute("SELECT count(*) FROM neurons WHERE label IS NULL OR output_norm IS NULL").fetchall() == [
            (0,)
        ]
        sources = con.execute("SELECT DISTINCT corpus_source FROM graphs ORDER BY 1").fetchall()
        assert len(sources) == 12
        last = con.execute("SELECT logit_count = neuron_count FROM effect_types WHERE layer = 4").fetchall()
        assert last == [(True,)]


@pytest.mark.slow
def test_the_tour(demo_atlas: Path, atlas_command: Any) -> None:
    done = atlas_command("tour", demo_atlas)
    assert done.returncode == 0, done.stderr
    for part in ("circuit-atlas-demo: 90 graphs", "One circuit", "One neuron", "Next", "atlas query"):
        assert part in done.stdout
    for line in done.stdout.partition("── Next")[2].splitlines()[1:]:
        if line.strip().startswith("atlas"):
            command = shlex.split(line.strip().split("   ")[0])[1:]
            if command[0] == "serve":
                # It runs until it is stopped, and opens a browser; test_serve and test_explorer run it.
                with atlas.open(demo_atlas) as opened:
                    assert opened.circuits(path=command[-1].removeprefix("circuit/")).fetchall()
                continue
            run = atlas_command(*command)
            assert run.returncode == 0, command
            assert len(run.stdout.splitlines()) > 1, command


def test_the_tour_of_an_atlas_without_clusters(small_atlas: Path, tmp_path: Path, atlas_command: Any) -> None:
    from atlas.database import Inputs, build_database

    built = build_database(tmp_path / "bare.duckdb", Inputs(small_atlas.parent / "stats"))
    done = atlas_command("tour", built.path)
    assert done.returncode == 0, done.stderr
    assert "One circuit" not in done.stdout


@pytest.mark.slow
def test_the_command_project(tmp_path: Path, atlas_command: Any) -> None:
    demo = DEMO
    done = atlas_command("project", demo, "-o", tmp_path / "p", "--device", "cpu", "--top-tokens", "3")
    assert done.returncode == 0, done.stderr
    assert "1,600 neurons: 28,800 projections, 0 exemplars" in done.stderr
    assert json.loads((tmp_path / "p" / "manifest.json").read_text())["prompts"] is None


def test_options_that_keep_nothing_are_refused() -> None:
    from atlas.errors import UsageError

    with pytest.raises(UsageError):
        ProjectOptions(top_tokens=0)


def test_projections_need_no_prompts(tmp_path: Path) -> None:
    model = load_model(DEMO, device="cpu")
    summary = project_model(model, tmp_path / "p", options=ProjectOptions(top_tokens=2))
    assert (summary.exemplars, summary.ratio_prompts, summary.effect_types) == (0, 0, {})
