"""Claims about single arms, as lines of Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tfzoo import study
from tfzoo.study import Row

SHAPES = (
    (
        "IoU of reconstructions, more than of another shape's",
        "iou_reconstructed",
        "iou_reconstructed_shuffled",
    ),
    (
        "sampled sets: halves agree more than halves of different sets",
        "sample_consistency",
        "sample_cross",
    ),
    ("IoU from 8 views, more than from 1", "iou_from_8", "iou_from_1"),
    ("bits of marginal entropy, more than the prior's", "marginal_entropy", "code_bits"),
    ("nearest training code: samples further than test codes", "novelty", "test_novelty"),
)

CHARACTERS = (
    ("bits of marginal entropy, more than the prior's", "marginal_entropy", "code_bits"),
    ("nearest training code: samples further than test codes", "novelty", "test_novelty"),
)


def of_shapes(rows: Sequence[Row], arm: str) -> list[str]:
    """One line for each claim about an arm, and every metric of all arms."""
    return [*_claims(rows, arm, SHAPES), "", *study.all_metrics(rows)]


def of_characters(rows: Sequence[Row], arm: str) -> list[str]:
    """The same for characters."""
    return [*_claims(rows, arm, CHARACTERS), "", *study.all_metrics(rows)]


def _claims(rows: Sequence[Row], arm: str, claims: Sequence[tuple[str, str, str]]) -> list[str]:
    lines = [f"| claim about {arm} | difference | verdict |", "|---|---|---|"]
    mine = [r for r in rows if r.arm == arm and not r.error]
    for says, more, less in claims:
        if not mine or more not in mine[0].metrics:
            continue
        found = study.interval([r.metrics[more] - r.metrics[less] for r in mine])
        # `verdict` wants what is claimed to lie below 0
        told = study.verdict(study.Interval(-found.mean, found.half, found.count))
        lines.append(f"| {says} | {found} | {told} |")
    return lines
