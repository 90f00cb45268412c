"""Each study's headline, read from its CSV into README and the method's card.

`python -m tfzoo.headlines` rewrites what stands between `<!-- headline METHOD -->` and
`<!-- end -->`; a test does the same and finds nothing to change, so text and number cannot part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfzoo.errors import InputError
from tfzoo.files import write_text
from tfzoo.study import interval, paired, read, values, verdict

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Headline:
    """A claim that one arm of a study is better than another.

    Attributes:
        method: package below `tfzoo`.
        data: CSV below `results/<method>/`, without `-results.csv`.
        metric: its column.
        says: what the metric is, in words.
        first: the arm that the claim favours.
        second: the arm it is compared with.
        more: whether more is better.
        digits: after the point.
    """

    method: str
    data: str
    metric: str
    says: str
    first: str
    second: str
    more: bool = False
    digits: int = 3

    def text(self, root: Path = ROOT) -> str:
        """The sentence, e.g. `return: UWAC -5.0 ± 0.6, BEAR -7.3 ± 0.2; difference ...`."""
        rows = read(root / "results" / self.method / f"{self.data}-results.csv", self.metric)
        parts = []
        for arm in (self.first, self.second):
            found = interval(list(values(rows, arm, self.metric).values()))
            parts.append(f"{arm} {self._number(found.mean)} ± {self._number(found.half)}")
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


HEADLINES = (
    Headline(
        "aft",
        "study-enwik8",
        "bits_per_byte",
        "test bits per byte, enwik8's first 4 MB",
        "local-32",
        "attention",
    ),
    Headline(
        "collegial",
        "sweep",
        "train_loss",
        "training loss at equal parameters, digits",
        "24x19",
        "1x128",
        digits=4,
    ),
    Headline(
        "bottleneck",
        "acceleration",
        "log2_steps",
        "log2 of the steps to 1 % of the loss, relative to no bottleneck",
        "scale 5, d=8",
        "scale 5, no bottleneck",
        digits=2,
    ),
    Headline(
        "metricopt",
        "digits_mcr",
        "test_error",
        "test misclassification rate, digits",
        "MetricOpt",
        "loss only",
    ),
    Headline(
        "ala",
        "digits",
        "balanced_error",
        "test balanced error, digits with rare classes",
        "ALA class weights",
        "CE",
    ),
    Headline(
        "afv",
        "cifar",
        "error_5000",
        "test error with 5,000 labels, CIFAR-10-JPEG",
        "AFV",
        "D-pool",
    ),
    Headline(
        "sdn",
        "shapes",
        "iou_reconstructed",
        "IoU of rebuilt unseen shapes",
        "SDN",
        "energy without code",
        more=True,
    ),
    Headline(
        "skipclip",
        "motions-pretexts",
        "error_5",
        "test error after fine-tuning on 5 labels of each of 12 motions",
        "Skip-Clip",
        "random initialisation",
    ),
    Headline(
        "uwac",
        "pointmass-random_expert",
        "return",
        "return on mixed data of a point mass",
        "UWAC",
        "BEAR",
        more=True,
        digits=2,
    ),
    Headline(
        "recon3d",
        "solids",
        "unseen_3",
        "IoU on unseen categories, 3 views",
        "local encoder",
        "global, world, mean",
        more=True,
    ),
)


def filled(text: str, headlines: Sequence[Headline] = HEADLINES, root: Path = ROOT) -> str:
    """A Markdown text with its headlines as the CSVs say."""
    known = {h.method: h for h in headlines}

    def fill(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise InputError(f"headline {match[1]!r}: must be one of {', '.join(known)}")
        return f"<!-- headline {match[1]} -->{known[match[1]].text(root)}<!-- end -->"

    return re.sub(r"<!-- headline (\w+) -->.*?<!-- end -->", fill, text, flags=re.S)


def texts(root: Path = ROOT) -> list[Path]:
    """README and the cards."""
    return [root / "README.md", *sorted((root / "tfzoo").glob("*/README.md"))]


def main() -> None:
    """Rewrites all of them."""
    for path in texts():
        text = path.read_text(encoding="utf-8")
        made = filled(text)
        if made != text:
            write_text(path, made)
            print(f"{path.relative_to(ROOT)}: rewritten")


if __name__ == "__main__":
    main()
