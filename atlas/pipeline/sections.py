"""Sections of recipes: tables of the TOML file, with their options and defaults."""

from __future__ import annotations

from dataclasses import dataclass

from atlas.options import (
    MEMORY,
    AggregateOptions,
    CircuitOptions,
    CollectOptions,
    ProjectOptions,
    PromptOptions,
    TraceOptions,
    VerifyOptions,
    WireOptions,
)


@dataclass(frozen=True)
class GraphsSection:
    """[graphs]: graph files, and the feature space to assign to them."""

    paths: tuple[str, ...]
    model: str | None = None
    transcoder_set: str | None = None
    unit_type: str = "neuron"
    strict: bool = False
    description: str | None = None


@dataclass(frozen=True)
class ImportSection:
    """[[imports]]: files of other tools, as `atlas import KIND` reads them, with a `description`."""

    kind: str
    paths: tuple[str, ...]
    name: str | None = None
    model: str | None = None
    min_count: int = 1
    method: str = "infomap"
    leaf_ranks: str = "auto"
    layer: int | None = None
    units: int | None = None
    value_kind: str | None = None
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class TraceSection(TraceOptions, PromptOptions):
    """[trace]: a model and prompts instead of graph files, with the options of `atlas trace`."""

    model: str
    prompts: str
    name: str | None = None
    dtype: str | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        TraceOptions.__post_init__(self)
        PromptOptions.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class CollectSection(CollectOptions):
    """[[collect]]: a store of activations on text; the model and the prompts of `[trace]` where they are left out."""

    model: str | None = None
    text: str | None = None
    sae: str | None = None
    name: str | None = None
    dtype: str | None = None
    batch: int | None = None
    column: str | None = None
    separator: str | None = None
    chat: bool = False
    limit: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class ProjectSection(ProjectOptions):
    """[project]: projections of the traced model; `labels` adds its automatic labels to the atlas."""

    labels: bool = True


@dataclass(frozen=True, kw_only=True)
class WireSection(WireOptions):
    """[wire]: connections by a model's weights, in addition to the edges of graphs or instead of them."""

    model: str
    name: str | None = None


@dataclass(frozen=True)
class AggregateSection:
    """[aggregate]: options and resources of the aggregation."""

    cooccurrence: int = AggregateOptions.cooccurrence
    groups: str = AggregateOptions.groups
    graph_links: str = AggregateOptions.graph_links
    device: str = AggregateOptions.device
    memory: str = f"{MEMORY // 10**9}GB"
    threads: int = 0


@dataclass(frozen=True)
class LabelFileSection:
    """[[labels.files]]: one label file, with defaults for its rows."""

    path: str
    source: str | None = None
    kind: str | None = None
    model: str | None = None
    same_units: bool = False
    description: str | None = None


@dataclass(frozen=True)
class LabelsSection:
    """[labels]: label files, and the precedence that decides which label of a neuron is shown."""

    files: tuple[LabelFileSection, ...] = ()
    from_graphs: bool = True
    precedence: tuple[str, ...] = ()
    kinds: tuple[str, ...] | None = None
    uninformative: tuple[str, ...] | None = None


@dataclass(frozen=True)
class CircuitsSection(CircuitOptions):
    """[circuits]: circuits of single tokens; `anchored = false` leaves them out."""

    anchored: bool = True


@dataclass(frozen=True)
class VerifySection(VerifyOptions):
    """[verify]: causal effects of circuits in the traced model; `most = 0` leaves them out."""


@dataclass(frozen=True)
class CardSection:
    """[card]: what the data card of the atlas says beside what is computed."""

    title: str | None = None
    description: str | None = None
    limits: str | None = None
    licences: str | None = None
    citation: str | None = None
    contact: str | None = None


@dataclass(frozen=True)
class AtlasSection:
    """[atlas]: options of the atlas file."""

    min_count: int = 1
    primary: str | None = None
    graph_links: str = "auto"
    strong_share: float = 0.05
    memory: str = "4GB"
