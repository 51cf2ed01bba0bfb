"""Attribution rules: what is held constant when the effect of a neuron is computed.

| rule | norms | attention patterns | gated MLP | point |
|---|---|---|---|---|
| `relp` | constant | constant | half rule | the prompt |
| `relp-live-norms` | differentiated | constant | half rule | the prompt |
| `gradient` | differentiated | differentiated | differentiated | the prompt |
| `integrated-gradients` | differentiated | differentiated | differentiated | mean over a path from the baseline |

Half rule: h = silu(g) u is written as silu(g)/2 u + u sigmoid(g)/2 g, and the factors of u and g are constant (half
rule for the product, identity rule for the activation). Jafari et al., "RelP: Faithful and efficient circuit discovery
via relevance patching", 2025; Arora et al., "Language model circuits are sparse in the neuron basis", 2025. Attribution
patching is the first-order effect by the gradient: Syed et al., "Attribution patching outperforms automated circuit
discovery", 2023. Integrated gradients: Sundararajan et al., 2017; on neurons: Marks et al., "Sparse feature circuits", 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.models.cache import LayerCache
from atlas.options import GRADIENT, INTEGRATED, RELP, RELP_LIVE_NORMS


@dataclass(frozen=True)
class Rules:
    """Parts of the model that an attribution differentiates; the others are constant or follow the half rule."""

    live_norms: bool
    live_patterns: bool
    half_rule: bool
    on_path: bool = False  # averaged over a path from the baseline

    @property
    def is_linear(self) -> bool:
        """True if every target is a linear function of its sources, whose sum is its value."""
        return self.half_rule and not self.live_norms and not self.live_patterns


RULES = {
    RELP: Rules(live_norms=False, live_patterns=False, half_rule=True),
    RELP_LIVE_NORMS: Rules(live_norms=True, live_patterns=False, half_rule=True),
    GRADIENT: Rules(live_norms=True, live_patterns=True, half_rule=False),
    INTEGRATED: Rules(live_norms=True, live_patterns=True, half_rule=False, on_path=True),
}


def up_factor(layer: LayerCache, rules: Rules) -> Tensor:
    """Return the derivative of a neuron by its `up`, (B, n, m): silu(gate), or half of it by the half rule."""
    whole = torch.nn.functional.silu(layer.gate)
    return whole / 2 if rules.half_rule else whole


def gate_factor(layer: LayerCache, rules: Rules) -> Tensor:
    """Return the derivative of a neuron by its `gate`, (B, n, m): up silu'(gate), or up sigmoid(gate) / 2 by the half rule."""
    share = torch.sigmoid(layer.gate)
    if rules.half_rule:
        return layer.up * share / 2
    return layer.up * share * (1 + layer.gate * (1 - share))
