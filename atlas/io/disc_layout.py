"""Places of discs on a map: what belongs together lies together, nothing overlaps, the same input gives the same map."""

from __future__ import annotations

from typing import Any

import numpy as np

# Discs of which the places are found together; smaller ones lie around them.
MOST_MOVED = 400
_STEPS, _SETTLING = 250, 400
_GAP = 0.15  # between discs, in radii of the median disc
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def place_discs(radii: Any, sources: Any, targets: Any, weights: Any) -> Any:
    """Find the places of discs.

    Discs start as a sunflower, the largest in the middle (Vogel 1979). Each then moves towards the discs that it has
    weight with, in proportion to its weight with each over the root of the product of both totals, and towards the
    middle, and is pushed out of discs that it overlaps (a force-directed layout: Fruchterman and Reingold 1991). No
    random number is drawn.

    Args:
        radii: Radius of each disc, largest first.
        sources: Number of the disc that a weight comes from.
        targets: Number of the disc that it goes to.
        weights: Weight, not negative; both directions count.

    Returns:
        Array [discs, 2] of places around the middle (0, 0).
    """
    radii = np.asarray(radii, np.float64)
    places = _sunflower(radii)
    moved = min(len(radii), MOST_MOVED)
    if moved < 2:
        return places
    here = places[:moved].copy()
    pull = _pull(moved, sources, targets, weights)
    least = radii[:moved, None] + radii[None, :moved] + _GAP * np.median(radii[:moved])
    share = radii[None, :moved] ** 2 / (radii[:moved, None] ** 2 + radii[None, :moved] ** 2)
    for step in range(_STEPS + _SETTLING):
        if step < _STEPS:
            here += (1 - step / _STEPS) * (_drawn(here, least, share, pull) - 0.02 * here)
        if not _push(here, least, share) and step >= _STEPS:
            break
    here *= _spread(here, radii[:moved])
    # The middle of the map is the middle of the area.
    here -= (here * radii[:moved, None] ** 2).sum(0) / (radii[:moved] ** 2).sum()
    places[:moved] = here
    if moved < len(radii):
        places[moved:] = _around(radii, moved, float((np.hypot(*here.T) + radii[:moved]).max()))
    return places


def _spread(here: Any, radii: Any) -> float:
    """Return the factor at which discs that still overlap touch."""
    distance = np.hypot(*(here[:, None, :] - here[None, :, :]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    return float(max(((radii[:, None] + radii[None, :]) / np.maximum(distance, 1e-9)).max(), 1))


def _sunflower(radii: Any) -> Any:
    area = radii**2
    distance = 1.3 * np.sqrt(np.cumsum(area) - area / 2)
    distance[:1] = 0
    angle = _GOLDEN_ANGLE * np.arange(1, len(radii) + 1)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], 1)


def _around(radii: Any, moved: int, extent: float) -> Any:
    """Return places of the small discs: a sunflower beyond `extent`, with room for the largest of them."""
    number = np.arange(len(radii) - moved)
    distance = np.sqrt((extent + 1.5 * radii[moved]) ** 2 + 3 * number * radii[moved] ** 2)
    angle = _GOLDEN_ANGLE * number
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], 1)


def _pull(moved: int, sources: Any, targets: Any, weights: Any) -> Any:
    """Return the pull between discs, [discs, discs], symmetric; about 1 in all on one disc at most."""
    sources, targets = np.asarray(sources, np.int64), np.asarray(targets, np.int64)
    weights = np.asarray(weights, np.float64)
    kept = (sources < moved) & (targets < moved) & (sources != targets) & (weights > 0)
    found = np.zeros((moved, moved))
    np.add.at(found, (sources[kept], targets[kept]), weights[kept])
    found += found.T
    total = np.sqrt(found.sum(1))
    total[total == 0] = 1
    found /= total[:, None] * total[None, :]
    # The same in both directions, so that two discs do not drift together.
    most = np.sqrt(np.maximum(found.sum(1), 1))
    return found / (most[:, None] * most[None, :])


def _drawn(here: Any, least: Any, share: Any, pull: Any) -> Any:
    """Return the steps of discs towards those that they have weight with, up to where they touch, the smaller one further."""
    apart = here[None, :, :] - here[:, None, :]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    gap = np.maximum(distance - least, 0) / np.maximum(distance, 1e-9)
    return ((0.5 * pull * share * gap)[..., None] * apart).sum(1)


def _push(here: Any, least: Any, share: Any) -> bool:
    """Move discs out of each other, the smaller one further; say whether any overlapped."""
    apart = here[:, None, :] - here[None, :, :]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    overlap = least - distance
    np.fill_diagonal(overlap, 0)
    overlap[overlap < 0.01 * least] = 0
    if not overlap.any():
        return False
    # Discs at one place part along the axis in the order of their numbers.
    same = (distance < 1e-9) & (overlap > 0)
    apart[same] = [1.0, 0.0]
    apart[same & np.tri(len(here), dtype=bool)] = [-1.0, 0.0]
    distance[same] = 1
    np.fill_diagonal(distance, 1)
    here += (0.6 * (overlap * share / distance)[..., None] * apart).sum(1)
    return True
