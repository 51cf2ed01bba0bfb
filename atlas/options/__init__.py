"""Options of every stage, with the names and defaults that recipes, the command line and the library share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from atlas.errors import UsageError
from atlas.options.activations import (
    CollectOptions,
    ExportOptions,
    FeatureOptions,
    MeasureOptions,
    ScoreOptions,
    TrainOptions,
)
from atlas.options.circuits import AGREES, RATE, CircuitOptions, VerifyOptions, is_found_again
from atlas.options.clusters import ClusterOptions
from atlas.options.names import (
    ALL,
    AUTO,
    BASELINES,
    BATCH_TOPK,
    CENTRED,
    DETECTION,
    DICTIONARY,
    DIRECT,
    EXPORTS,
    FLOW,
    FUZZING,
    GRADIENT,
    GROUP_LINKS,
    HOOKS,
    INTEGRATED,
    LAST,
    LOGIT_DIFF,
    LOGPROB,
    MEAN,
    MEANS,
    MEMORY,
    METRICS,
    MLP,
    NONE,
    OF_METRIC,
    OF_SCORES,
    POSITIONS,
    RELP,
    RELP_LIVE_NORMS,
    RELU,
    RESIDUAL,
    RULE_NAMES,
    SCORE_TASKS,
    SIMULATION,
    SUM,
    TAUS,
    TOPK,
    TRAINED_KINDS,
    WHOLE,
    ZERO,
)

__all__ = [
    "AGREES",
    "ALL",
    "AUTO",
    "BASELINES",
    "BATCH_TOPK",
    "CENTRED",
    "DETECTION",
    "DICTIONARY",
    "DIRECT",
    "DOCUMENT_KEYS",
    "EXPORTS",
    "FLOW",
    "FUZZING",
    "GRADIENT",
    "GROUP_LINKS",
    "HOOKS",
    "INTEGRATED",
    "LAST",
    "LOGIT_DIFF",
    "LOGPROB",
    "MEAN",
    "MEANS",
    "MEMORY",
    "METRICS",
    "MLP",
    "NONE",
    "OF_METRIC",
    "OF_SCORES",
    "POSITIONS",
    "RATE",
    "RELP",
    "RELP_LIVE_NORMS",
    "RELU",
    "RESIDUAL",
    "RULE_NAMES",
    "SCORE_TASKS",
    "SIMULATION",
    "SUM",
    "TAUS",
    "TOPK",
    "TRAINED_KINDS",
    "WHOLE",
    "ZERO",
    "AggregateOptions",
    "CircuitOptions",
    "ClusterOptions",
    "CollectOptions",
    "DocumentOptions",
    "ExportOptions",
    "FeatureOptions",
    "MeasureOptions",
    "ProjectOptions",
    "PromptOptions",
    "ScoreOptions",
    "ShardedPromptOptions",
    "TraceOptions",
    "TrainOptions",
    "VerifyOptions",
    "WireOptions",
    "is_found_again",
    "out_of_bounds",
    "part_of",
]

T = TypeVar("T")


@dataclass(frozen=True)
class TraceOptions:
    """Options that decide a traced graph.

    Attributes:
        tau: Neurons are kept if |score| >= `tau` x scale. None is 0.001 of the scores, or 0.005 of the metric.
        tau_of: Scale of `tau`: `scores`, the sum of |score| over all neurons of the prompt, or `metric`, the |metric| (as in
            the published graphs), which vanishes where targets and contrasts cancel.
        top_logits: Number of targets, the highest logits, of a prompt that names none.
        max_nodes: Maximum number of neurons in a graph; the strongest are kept.
        link_weight: `direct_effect` (source x derivative of the target) or `attribution_flow` (the same, times the
            target's score over its activation).
        rules: `relp`, `relp-live-norms`, `gradient` or `integrated-gradients`: what is held constant.
        baseline: `zero` or `mean` (of each neuron over prompts): what a source is compared with. None is `mean` for
            integrated gradients, else `zero`.
        metric: `sum`, `logprob`, `logit-diff` or `centred`: what is traced.
        steps: Number of points on the path of integrated gradients.
        ablations: Number of nodes, of edges between neurons and of edges to outputs that are cut in the real model, as
            a random sample of the whole corpus, at most 50 of each per graph; decides no graph.
    """

    tau: float | None = None
    tau_of: str = OF_SCORES
    top_logits: int = 5
    max_nodes: int = 500
    link_weight: str = DIRECT
    rules: str = RELP
    baseline: str | None = None
    metric: str = SUM
    steps: int = 10
    ablations: int = 2000

    def __post_init__(self) -> None:
        for what, given, known in (
            ("link weight", self.link_weight, (DIRECT, FLOW)),
            ("rules", self.rules, RULE_NAMES),
            ("baseline", self.baseline or ZERO, BASELINES),
            ("metric", self.metric, METRICS),
            ("tau of", self.tau_of, (OF_SCORES, OF_METRIC)),
        ):
            if given not in known:
                raise UsageError(f"{what} {given!r} is none; there are {', '.join(known)}")
        if not 0 <= self.threshold < 1:
            raise UsageError(f"tau must be from 0 to below 1, not {self.tau}")
        for name, least in (("top_logits", 1), ("max_nodes", 1), ("steps", 1), ("ablations", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be {least} or more, not {getattr(self, name)}")
        if self.rules == INTEGRATED and self.baseline == ZERO:
            raise UsageError(
                "integrated gradients need --baseline mean: norms undo a common scale, so on the way to zero nothing changes"
            )

    @property
    def threshold(self) -> float:
        """Share of the scale that a neuron needs: `tau`, or the default of its scale."""
        return self.tau if self.tau is not None else TAUS[self.tau_of]

    @property
    def compared_with(self) -> str:
        """Baseline of the sources: `baseline`, or the default of the rules."""
        return self.baseline or (MEAN if self.rules == INTEGRATED else ZERO)


@dataclass(frozen=True)
class PromptOptions:
    """Options for selecting the prompts of a corpus, and for converting them to tokens.

    Attributes:
        column: Name of the text column in JSON lines and Parquet; prompt, text or content if None.
        separator: Separator of prompts in text files; line ends if None.
        chat: Wrap each prompt as a user's turn by the model's chat template.
        limit: Maximum number of prompts.
        seed: Seed for drawing the `limit` prompts at random; the first prompts are used if None.
        min_tokens: Minimum number of tokens; shorter prompts are rejected.
        max_tokens: Maximum number of tokens; longer prompts are rejected, unless `truncate`.
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

    # Documents of any length, which the reader cuts into windows itself.
    whole: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.separator == "":
            raise UsageError("the separator is empty; leave it out to cut at line ends")
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise UsageError("--min-tokens must be 1 or more and not above --max-tokens")
        if self.limit is not None and self.limit < 1:
            raise UsageError("--limit must be 1 or more")


# Options that select documents; the others are about the length of prompts.
DOCUMENT_KEYS = ("column", "separator", "chat", "limit", "seed")


@dataclass(frozen=True)
class DocumentOptions(PromptOptions):
    """Prompt options of documents that are not cut: `max_tokens` and `truncate` have no effect."""

    whole: ClassVar[bool] = True


@dataclass(frozen=True)
class ShardedPromptOptions(PromptOptions):
    """Prompt options of one shard: (i, n) is the part i, from 0, of n parts. Equal prompts are in one part."""

    shard: tuple[int, int] = (0, 1)


@dataclass(frozen=True)
class ProjectOptions:
    """Options for the numbers of projections, exemplars and direct effects.

    Attributes:
        top_tokens: Number of tokens to keep per kind and direction of a neuron's projections.
        exemplars: Number of exemplars to keep per sign: the places where a neuron fires most.
        effects: Number of prompts for direct effect ratios; 0 leaves them out.
    """

    top_tokens: int = 20
    exemplars: int = 8
    effects: int = 50

    def __post_init__(self) -> None:
        if self.top_tokens < 1 or self.exemplars < 1 or self.effects < 0:
            raise UsageError("projections keep 1 token or more, 1 exemplar or more, 0 prompts or more")


@dataclass(frozen=True)
class WireOptions:
    """Options of the wiring by weights.

    Attributes:
        top_connections: Number of connections to keep per polarity and direction of a neuron.
        fold_norms: Multiply the gains of the MLPs' norms into the weights. None folds them where the norm is behind the
            MLP (OLMo 2 and 3), because the weights alone then do not say how much a neuron writes.
    """

    top_connections: int = 10
    fold_norms: bool | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.top_connections <= 1000:
            raise UsageError(f"--top-connections must be from 1 to 1000, not {self.top_connections}")


@dataclass(frozen=True)
class AggregateOptions:
    """Options of an aggregation. `cooccurrence` and `groups` decide the statistics, the others how it runs.

    Attributes:
        cooccurrence: Number of co-occurring neurons to keep per neuron; 0 leaves co-occurrence out.
        groups: `auto` groups graphs by their prompts, and counts edges by group up to `GROUP_LINKS` expected links;
            `none` makes every graph a group of its own.
        graph_links: `auto` keeps the nodes and links of every graph, up to `GROUP_LINKS` expected links; `none` keeps none.
        device: `auto`, `cpu` or `cuda`.
        memory: Bytes that all processes may take together.
        threads: Number of worker processes; one per core if None.
        scheduler: Dask scheduler that runs the tasks instead: `local` or an address.
        work: Folder or URL that the workers of the scheduler share; beside the output if None.
    """

    cooccurrence: int = 20
    groups: str = AUTO
    graph_links: str = AUTO
    device: str = "auto"
    memory: int = MEMORY
    threads: int | None = None
    scheduler: str | None = None
    work: str | None = None


def out_of_bounds(key: str, value: int) -> str | None:
    """Check a count or a seed.

    Args:
        key: Name of the option.
        value: Its value.

    Returns:
        The error message where it is not from 1 to 2^31 - 1; None where it is.
    """
    return None if 1 <= value < 2**31 else f"{key} must be from 1 to {2**31 - 1}, not {value}"


def part_of(section: Any, kind: type[T]) -> T:
    """Take the options of one kind from a section with several kinds, such as the `TraceOptions` of `[trace]`.

    Args:
        section: Section of a recipe.
        kind: Class of the options.

    Returns:
        The options.
    """
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: getattr(section, name) for name in names})
