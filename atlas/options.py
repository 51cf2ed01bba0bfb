"""The options of every stage, once: recipes, the command line and the library share names and defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from atlas.errors import UsageError

T = TypeVar("T")
MEMORY = 2_000_000_000  # bytes that all processes of an aggregation may take together
DIRECT, FLOW = "direct_effect", "attribution_flow"


@dataclass(frozen=True)
class TraceOptions:
    """Options that decide a traced graph; the defaults are those of the published graphs.

    Attributes:
        tau: Neurons are kept where |score| >= `tau` x |metric|.
        top_logits: The metric is the sum of so many highest logits, or of a prompt's own targets.
        max_nodes: Neurons of a graph at most; the strongest are kept.
        link_weight: `direct_effect` (source activation x derivative of the target) or `attribution_flow` (the
            same, times the target's score over its activation).
    """

    tau: float = 0.005
    top_logits: int = 5
    max_nodes: int = 500
    link_weight: str = DIRECT

    def __post_init__(self) -> None:
        if self.link_weight not in (DIRECT, FLOW):
            raise UsageError(f"link weight {self.link_weight!r} is none; there are {DIRECT} and {FLOW}")
        if not 0 <= self.tau < 1 or self.top_logits < 1 or self.max_nodes < 1:
            raise UsageError("tau must be from 0 to below 1, the number of logits and of nodes 1 or more")


@dataclass(frozen=True)
class PromptOptions:
    """Options that decide which prompts of a corpus are used, and how they become tokens.

    Attributes:
        column: Name of the text in JSON lines and Parquet; prompt, text or content where None.
        separator: What separates prompts in text files; line ends where None.
        chat: Wrap each prompt as a user's turn by the model's chat template.
        limit: Number of prompts at most.
        seed: Draw the `limit` prompts at random; the first ones where None.
        min_tokens: Shorter prompts are rejected.
        max_tokens: Longer prompts are rejected, unless `truncate`.
        truncate: Keep the first `max_tokens` of longer prompts.
    """

    column: str | None = None
    separator: str | None = None
    chat: bool = False
    limit: int | None = None
    seed: int | None = None
    min_tokens: int = 2
    max_tokens: int = 128
    truncate: bool = False

    def __post_init__(self) -> None:
        if self.separator == "":
            raise UsageError("the separator is empty; leave it out to cut at line ends")
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise UsageError("--min-tokens must be 1 or more and not above --max-tokens")
        if self.limit is not None and self.limit < 1:
            raise UsageError("--limit must be 1 or more")


@dataclass(frozen=True)
class ShardedPromptOptions(PromptOptions):
    """The prompts of one shard: of (i, n) the i-th of n parts; equal prompts are in one part."""

    shard: tuple[int, int] = (0, 1)


@dataclass(frozen=True)
class ProjectOptions:
    """Options that decide how much is read from a model's weights.

    Attributes:
        top_tokens: Tokens kept of each kind and direction of a neuron's projections.
        exemplars: Places where a neuron fires most, of each sign.
        effects: Prompts for direct effect ratios; 0 leaves them out.
    """

    top_tokens: int = 20
    exemplars: int = 8
    effects: int = 50

    def __post_init__(self) -> None:
        if self.top_tokens < 1 or self.exemplars < 1 or self.effects < 0:
            raise UsageError("projections keep 1 token or more, 1 exemplar or more, 0 prompts or more")


@dataclass(frozen=True)
class WireOptions:
    """Options that decide the wiring by weights.

    Attributes:
        top_connections: Connections kept of each polarity and direction of a neuron.
        fold_norms: Multiply the gains of the MLPs' norms into the weights.
    """

    top_connections: int = 10
    fold_norms: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.top_connections <= 1000:
            raise UsageError(f"--top-connections must be from 1 to 1000, not {self.top_connections}")


@dataclass(frozen=True)
class AggregateOptions:
    """Options of an aggregation. Only `cooccurrence` decides the statistics; the others decide where and how fast it runs.

    Attributes:
        cooccurrence: Co-occurring neurons to keep of each neuron; 0 leaves co-occurrence out.
        device: `auto`, `cpu` or `cuda`.
        memory: Bytes that all processes may take together.
        threads: Number of worker processes; one per core where None.
        scheduler: Dask scheduler that runs the tasks instead: `local` or an address.
        work: Folder or URL that the workers of the scheduler share; beside the output where None.
    """

    cooccurrence: int = 20
    device: str = "auto"
    memory: int = MEMORY
    threads: int | None = None
    scheduler: str | None = None
    work: str | None = None


@dataclass(frozen=True)
class ClusterOptions:
    """[[cluster]]: one clustering; the first is the primary one unless [atlas] says otherwise.

    `seed` and `trials` make the result repeatable; more trials find better partitions.
    """

    name: str | None = None
    method: str = "infomap"
    weight: str = "mean_abs_weight_sq"
    min_count: int = 5
    seed: int = 42
    trials: int = 20
    two_level: bool = False

    @property
    def title(self) -> str:
        """Name of the clustering in the atlas: `name`, or the method."""
        return self.name or self.method


def out_of_bounds(key: str, value: int) -> str | None:
    """Return what is wrong with a count or seed, or None: every stage holds whole numbers from 1 to 2^31 - 1."""
    return None if 1 <= value < 2**31 else f"{key} must be from 1 to {2**31 - 1}, not {value}"


def part_of(section: Any, kind: type[T]) -> T:
    """Return the options of one kind that a section with several holds, such as the `TraceOptions` of `[trace]`."""
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: getattr(section, name) for name in names})
