"""Options of anchored circuits."""

from __future__ import annotations

from dataclasses import dataclass

from atlas.errors import UsageError

AGREES = 0.5  # a circuit counts as found again from this Jaccard index of the circuits of two halves on,
RATE = 0.05  # below this false discovery rate


def is_found_again(agreement: float | None, rate: float | None) -> bool:
    """Return True if a circuit counts as found again.

    Args:
        agreement: Its `half_agreement`; None where it is not known.
        rate: Its `null_fdr`; None where it is not known.

    Returns:
        Whether both are known and pass.
    """
    return agreement is not None and rate is not None and agreement >= AGREES and rate < RATE


@dataclass(frozen=True)
class VerifyOptions:
    """Options of causal effects of circuits.

    Attributes:
        most: Number of circuits that are cut at most, the surest of inputs, of outputs and of each clustering; 0 cuts none.
        prompts: Number of held-out prompts on topic (with the token, or on which the cluster acts), and as many others, at most.
        least_prompts: Least number of either; circuits with fewer are not cut.
        controls: Number of random sets of neurons to cut beside each circuit.
        mean_prompts: Number of prompts over which means are taken.
        batch: Number of prompts per forward pass.
        seed: Seed of the halves, the prompts and the controls.
    """

    most: int = 100
    prompts: int = 24
    least_prompts: int = 4
    controls: int = 10
    mean_prompts: int = 200
    batch: int = 24
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("prompts", "least_prompts", "controls", "mean_prompts", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"verify.{name} must be 1 or more, not {getattr(self, name)}")
        if self.least_prompts > self.prompts:
            raise UsageError(
                f"verify.prompts must be verify.least_prompts ({self.least_prompts}) or more, not {self.prompts}"
            )
        if not 0 <= self.most < 2**31 or not 0 <= self.seed < 2**31:
            raise UsageError(f"verify.most and verify.seed must be from 0 to {2**31 - 1}")


@dataclass(frozen=True)
class CircuitOptions:
    """Options of anchored circuits.

    Attributes:
        min_graphs: Least number of graphs in which a token is an input, or a traced output, to have a circuit.
        max_graph_share: Largest share of the graphs in which it may be; a token of nearly all graphs sets none apart.
        min_groups: Least number of groups of prompts that these graphs are of.
        size: Number of neurons that carry the token; chosen by replication from 5, 10, 20 and 40 where None.
        grow: Number of neurons that are added at most, upstream and downstream, in each step.
        steps: Number of steps of growth at most.
        least_confidence: Share of the resamples that must confirm an added neuron.
        resamples: Number of bootstraps of the groups of prompts.
        paths: Number of paths of each circuit, from an input token to an output token, that are kept at most.
        merge: Jaccard index from which on two tokens of a kind have one circuit.
        contrasts: Pairs of output tokens, whose difference is an anchor.
        around: Sets of neurons, such as `L1/N45 L2/N3`, that circuits are grown around.
        seed: Seed of the resamples.
    """

    min_graphs: int = 15
    max_graph_share: float = 0.9
    min_groups: int = 4
    size: int | None = None
    grow: int = 5
    steps: int = 2
    least_confidence: float = 0.5
    resamples: int = 20
    paths: int = 5
    merge: float = 0.6
    contrasts: tuple[tuple[str, str], ...] = ()
    around: tuple[str, ...] = ()
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("min_graphs", "min_groups"):
            if getattr(self, name) < 1:
                raise UsageError(f"circuits.{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("grow", "steps", "paths", "seed"):
            if not 0 <= getattr(self, name) < 2**31:
                raise UsageError(f"circuits.{name} must be from 0 to {2**31 - 1}, not {getattr(self, name)}")
        if self.size is not None and not 1 <= self.size <= 10_000:
            raise UsageError(f"circuits.size must be from 1 to 10,000, not {self.size}")
        if not 2 <= self.resamples <= 1000:
            raise UsageError(f"circuits.resamples must be from 2 to 1,000, not {self.resamples}")
        if not 0 < self.max_graph_share <= 1:
            raise UsageError(f"circuits.max_graph_share must be above 0 and at most 1, not {self.max_graph_share}")
        if not 0 < self.merge <= 1 or not 0 < self.least_confidence <= 1:
            raise UsageError("circuits.merge and circuits.least_confidence must be above 0 and at most 1")
        self._check_anchors()

    def _check_anchors(self) -> None:
        if any(len(pair) != 2 or pair[0] == pair[1] for pair in self.contrasts):
            raise UsageError("circuits.contrasts must be pairs of different output tokens")
        for name in ("contrasts", "around"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise UsageError(f"circuits.{name} names one thing twice")
