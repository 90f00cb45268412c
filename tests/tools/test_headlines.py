"""README's and the cards' headlines are those of the committed CSVs."""

import re

import pytest

from headlines import ROOT, filled, headlines, texts
from tfzoo import registry
from tfzoo.errors import InputError
from tfzoo.experiments.headline import Headline

MADE = "arm,seed,parameters,loss,seconds,error\na,0,,1.0,,\na,1,,2.0,,\nb,0,,3.0,,\nb,1,,4.5,,\n"


@pytest.mark.parametrize("path", texts(), ids=lambda p: p.parent.name)
def test_nothing_to_rewrite(path):
    text = path.read_text()
    assert filled(text, headlines()) == text, "run python tools/headlines.py"


def test_every_method_has_one_in_its_card():
    assert set(registry.methods()) <= set(headlines())
    for name in registry.methods():
        assert f"<!-- headline {name} -->" in (ROOT / "tfzoo" / name / "README.md").read_text()


def test_readme_has_those_of_all_results_that_are_committed():
    table = re.findall(r"<!-- headline (\w+) -->", (ROOT / "README.md").read_text())
    studied = {path.parent.name for path in (ROOT / "results").glob("*/*-study.json")}
    assert len(table) == len(set(table)) and set(table) == studied <= set(headlines())


def test_the_sentence(tmp_path):
    (tmp_path / "results" / "toy").mkdir(parents=True)
    (tmp_path / "results" / "toy" / "x-results.csv").write_text(MADE)
    less = Headline("toy", "x", "loss", "loss", "a", "b", digits=2)
    sentence = filled("x <!-- headline toy -->old\n<!-- end -->.", {"toy": less}, tmp_path)
    assert sentence == (
        "x <!-- headline toy -->loss: a 1.50 ± 6.35; b 3.75 ± 9.53; difference -2.25 ± 3.18 over "
        "2 seeds (inconclusive (mean for it))<!-- end -->."
    )
    more = Headline("toy", "x", "loss", "loss", "a", "b", more=True)
    assert "mean against it" in more.text(tmp_path)
    with pytest.raises(InputError, match="headline 'none': must be one of toy"):
        filled("<!-- headline none --><!-- end -->", {"toy": less}, tmp_path)
    with pytest.raises(InputError, match="no column 'cost'"):
        Headline("toy", "x", "cost", "", "a", "b").text(tmp_path)
