"""A study's headline: the sentence quoted by README and the method's card, computed from its
CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfzoo.errors import InputError
from tfzoo.experiments.statistics import interval, paired, read, values, verdict


@dataclass(frozen=True)
class Headline:
    """The claim that one arm of a study is better than another.

    Attributes:
        method: package below `tfzoo`.
        data: CSV below `results/<method>/`, without `-results.csv`.
        metric: column of the metric.
        says: the metric in words.
        first: the arm that the claim favours.
        second: the arm that it is compared with.
        more: whether higher is better.
        digits: number of decimals.
    """

    method: str
    data: str
    metric: str
    says: str
    first: str
    second: str
    more: bool = False
    digits: int = 3

    def text(self, root: Path) -> str:
        """The sentence, e.g. `return: UWAC -5.0 ± 0.6, BEAR -7.3 ± 0.2; difference ...`."""
        rows = read(root / "results" / self.method / f"{self.data}-results.csv", self.metric)
        parts = []
        for arm in (self.first, self.second):
            value = interval(list(values(rows, arm, self.metric).values()))
            parts.append(f"{arm} {self._number(value.mean)} ± {self._number(value.half)}")
        difference = paired(rows, self.first, self.second, self.metric)
        if difference.count < 2:
            raise InputError(f"{self.method}: {self.first!r}, {self.second!r}: no common seeds")
        sided = paired(rows, self.second, self.first, self.metric) if self.more else difference
        half, mean = self._number(difference.half), self._number(difference.mean)
        return (
            f"{self.says}: {'; '.join(parts)}; difference {mean} ± {half} over "
            f"{difference.count} seeds ({verdict(sided)})"
        )

    def _number(self, value: float) -> str:
        return f"{value:.{self.digits}f}"
