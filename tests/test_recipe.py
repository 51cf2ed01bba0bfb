from pathlib import Path

import pytest
from conftest import ROOT

from atlas.errors import RecipeError
from atlas.pipeline.recipe import Recipe, find_recipe, load_recipe

SMALL = 'name = "small"\n[graphs]\npaths = ["graphs"]\n'


def load(tmp_path: Path, text: str, *settings: str, **environment: str) -> Recipe:
    path = tmp_path / "given.toml"
    path.write_text(text)
    return load_recipe(path, settings, environment)


def test_defaults(tmp_path: Path) -> None:
    recipe = load(tmp_path, SMALL)
    assert recipe.graphs.paths == ("graphs",)
    assert recipe.output_path == Path("out/small.duckdb")
    assert recipe.work_path == Path("out/small.stages")
    assert [(c.title, c.min_count, c.seed) for c in recipe.cluster] == [("infomap", 5, 42)]
    assert recipe.labels.from_graphs


def test_the_name_is_the_file_where_it_is_left_out(tmp_path: Path) -> None:
    assert load(tmp_path, '[graphs]\npaths = "graphs"').name == "given"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL + "wrong = 1", "unknown key graphs.wrong; there are graphs.paths, graphs.model"),
        (SMALL + "[nothing]", "unknown key nothing; there are name, graphs, trace, wire, collect, imports, output"),
        (SMALL + "[[cluster]]\nmincount = 3", "unknown key cluster.mincount; there are cluster.name"),
        (SMALL + '[[cluster]]\nmin_count = "five"', "cluster.min_count must be a whole number, not 'five'"),
        (SMALL + "[[cluster]]\nmin_count = true", "cluster.min_count must be a whole number, not True"),
        (SMALL + "[[cluster]]\nseed = 4.5", "cluster.seed must be a whole number, not 4.5"),
        (SMALL + '[[cluster]]\nname = "a"\n[[cluster]]\nname = "a"', "each must be another"),
        (SMALL + '[[cluster]]\nname = "../a"', "must be a file name"),
        (SMALL + "[labels]\nfrom_graphs = 1", "labels.from_graphs must be true or false, not 1"),
        (SMALL + "[[labels.files]]\nsource = 'x'", "the key labels.files.path is missing"),
        (SMALL + "[labels]\nfiles = [3]", "labels.files must be a table, not 3"),
        (
            'name = "x"',
            "names no input; give one of [graphs] (with paths), [trace] (with model and prompts) and [[imports]] of one kind of checkpoint",
        ),
        (SMALL + '[trace]\nmodel = "m"\nprompts = "p"', "names several inputs of one kind"),
        ('[trace]\nmodel = "m"', "the key trace.prompts is missing"),
        ('[trace]\nmodel = "m"\nprompts = "p"\ntau = "x"', "trace.tau must be a number, not 'x'"),
        ("[graphs]", "the key graphs.paths is missing"),
        (SMALL + "[[imports]]\nkind = 'x'\npaths = 'y'", "imports.kind 'x' is none of checkpoint, edge-stats"),
        (SMALL + "[[imports]]\nkind = 'checkpoint'\npaths = 'y'", "names several inputs of one kind"),
        ("[[imports]]\nkind = 'reports'\npaths = 'y'", "names no input"),
        (SMALL + "[[imports]]\nkind = 'reports'\npaths = 'y'\n" * 2, "in one list of paths"),
        (
            "[[imports]]\nkind = 'edge-stats'\npaths = 'y'\nmin_count = 5",
            "imports.min_count has no meaning for kind edge-stats; it is for checkpoint",
        ),
        (SMALL + "[[imports]]\nkind = 'assignments'\npaths = 'y'\n[[cluster]]\n", "each must be another"),
        ("graphs = 3", "graphs must be a table, not 3"),
        ('name = "a/b"\n[graphs]\npaths = []', "must be letters, digits"),
        ("= 3", "no valid TOML"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_there_is(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "given.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_change_single_keys(tmp_path: Path) -> None:
    recipe = load(
        tmp_path,
        SMALL + "[[cluster]]\nname='a'\n[[cluster]]\nname='b'\n",
        "cluster.min_count=3",
        "graphs.paths=elsewhere",
        "labels.files=labels.csv",
        "graphs.strict=true",
        'graphs.model="my model"',
        "output=x.duckdb",
    )
    assert [c.min_count for c in recipe.cluster] == [3, 3]
    assert recipe.graphs.paths == ("elsewhere",)
    assert recipe.labels.files[0].path == "labels.csv"
    assert recipe.graphs.strict
    assert recipe.graphs.model == "my model"
    assert recipe.output_path == Path("x.duckdb")


def test_a_setting_for_clusters_that_the_recipe_does_not_mention(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, "cluster.seed=7").cluster[0].seed == 7


@pytest.mark.parametrize("setting", ["nonsense", "=3", "name.x=3", "graphs.paths.x=3"])
def test_a_setting_that_cannot_be_is_an_error(tmp_path: Path, setting: str) -> None:
    with pytest.raises(RecipeError, match="--set"):
        load(tmp_path, SMALL, setting)


def test_variables_come_from_the_environment(tmp_path: Path) -> None:
    text = '[graphs]\npaths = ["${DATA}/graphs"]'
    assert load(tmp_path, text, DATA="/some").graphs.paths == ("/some/graphs",)
    with pytest.raises(RecipeError, match=r"needs the variable DATA.*DATA=/path/to/it"):
        load(tmp_path, text)


def test_a_setting_makes_the_variable_unnecessary(tmp_path: Path) -> None:
    assert load(tmp_path, '[graphs]\npaths = ["${DATA}/graphs"]', "graphs.paths=here").graphs.paths == ("here",)


def test_recipes_that_ship_are_found_by_name_and_load() -> None:
    for path in (ROOT / "build").glob("*.toml"):
        assert find_recipe(path.stem) == path
        recipe = load_recipe(path, (), {"DATA": "/data", "GRAPHS": "/graphs"})
        assert recipe.name == path.stem


def test_an_unknown_recipe_names_those_that_ship() -> None:
    with pytest.raises(RecipeError, match="gemma-2-2b-clt-hp"):
        find_recipe("nothing")


def test_build_readme_explains_every_key() -> None:
    import dataclasses

    from atlas.pipeline import recipe

    text = (ROOT / "build" / "README.md").read_text()
    for section in (
        recipe.Recipe,
        recipe.GraphsSection,
        recipe.TraceSection,
        recipe.WireSection,
        recipe.ProjectSection,
        recipe.AggregateSection,
        recipe.ClusterOptions,
        recipe.LabelFileSection,
        recipe.LabelsSection,
        recipe.AtlasSection,
    ):
        for field in dataclasses.fields(section):
            assert f"`{field.name}`" in text, f"build/README.md does not explain {section.__name__}.{field.name}"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("atlas.memory=lots", "atlas.memory: 'lots' is no size; write it like 2GB or 512MB"),
        ("name.a.b=1", "goes through a value"),
        ("output=.", "must name a file"),
        ("output=/", "must name a file"),
        ('output="a\\u0000b"', "NUL character"),
        ("cluster.min_count=100000000000000000000000", "cluster.min_count must be from 1 to"),
        ("cluster.seed=0", "cluster.seed must be from 1 to"),
        ("atlas.primary=nosuch", "atlas.primary 'nosuch' is no clustering; there are infomap"),
        ("atlas.min_count=-1", "atlas.min_count must be from 1 to"),
        ("graphs.paths=" + "[" * 5000, None),
    ],
)
def test_settings_that_no_stage_could_hold(tmp_path: Path, setting: str, said: str | None) -> None:
    if said is None:
        assert load(tmp_path, SMALL, setting).graphs.paths[0].startswith("[[[")
        return
    with pytest.raises(RecipeError, match=said):
        load(tmp_path, SMALL, setting)


def test_a_recipe_nested_too_deeply_or_with_a_byte_order_mark(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no valid TOML"):
        load(tmp_path, "x = " + "[" * 20_000)
    assert load(tmp_path, "\ufeff" + SMALL).name == "small"


@pytest.mark.parametrize("output", ["5", "2025-01-01", "true", "it's.duckdb"])
def test_an_output_is_a_path_whatever_it_looks_like(tmp_path: Path, output: str) -> None:
    (tmp_path / "r.toml").write_text(SMALL)
    assert load_recipe(tmp_path / "r.toml", output=Path(output)).output_path == Path(output)


def test_a_misspelt_key_is_reported_before_a_variable_that_is_not_set(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown key graphs.path;"):
        load(tmp_path, '[graphs]\npaths = ["${NONE}"]', "graphs.path=x")


def test_a_size_is_spelled_as_on_the_command_line(tmp_path: Path) -> None:
    for size in ("2G", "1500000000", "512 MiB", "1.5gb"):
        assert load(tmp_path, SMALL, f"aggregate.memory={size}", f'atlas.memory="{size}"').aggregate.memory == size


COLLECTED = """
[trace]
model = "org/model-a"
prompts = "prompts.jsonl"
limit = 100
[[collect]]
"""


@pytest.mark.parametrize(
    "setting", ["model=org/model-b", "limit=9", "dtype=bfloat16", "column=body", "seed=3", "name=other"]
)
def test_a_store_depends_on_what_it_takes_from_the_trace(tmp_path: Path, setting: str) -> None:
    from atlas.pipeline.collect_stages import CollectedStages
    from atlas.pipeline.trace_stages import TracedStages

    def parameters(text: str, *settings: str) -> object:
        recipe = load(tmp_path, text, *settings)
        traced = TracedStages(recipe.trace, recipe, lambda *_: None)
        return CollectedStages(recipe.collect[0], recipe, traced, lambda *_: None).parameters()

    assert parameters(COLLECTED) != parameters(COLLECTED, f"trace.{setting}")
    # A section that names its own model and text depends on the trace no more.
    own = COLLECTED + 'model = "org/mine"\ntext = "other.jsonl"\n'
    assert parameters(own) == parameters(own, f"trace.{setting}")


@pytest.mark.parametrize(
    ("imports", "said"),
    [
        (
            [("activations", "a"), ("activations", "b")],
            "give one import of activations and one of samples; merge stores",
        ),
        ([("vectors", "a")], "imports of kind vectors are no part of an atlas"),
    ],
)
def test_imports_of_stores_are_never_dropped(tmp_path: Path, imports: list[tuple[str, str]], said: str) -> None:
    tables = "".join(f'[[imports]]\nkind = "{kind}"\npaths = ["{path}"]\n' for kind, path in imports)
    with pytest.raises(RecipeError, match=said):
        load(tmp_path, SMALL + tables)
    recipe = load(tmp_path, SMALL + '[[imports]]\nkind = "samples"\npaths = ["a"]\nlayer = 3\n')
    assert recipe.imports[0].layer == 3


@pytest.mark.parametrize("value", ['"ab"', '["ab"]', '[["a", "b", "c"]]', "[[1, 2]]"])
def test_contrasts_are_pairs_of_texts(tmp_path: Path, value: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'[graphs]\npaths = ["x"]\n[circuits]\ncontrasts = {value}\n')
    with pytest.raises(RecipeError, match="circuits.contrasts"):
        load_recipe(path)
