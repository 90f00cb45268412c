"""Figures in README, the site and the cards match the committed CSVs."""

import re
from dataclasses import replace

import pytest

from headlines import ROOT, filled, headlines, texts
from tfzoo import registry
from tfzoo.errors import InputError
from tfzoo.experiments.headline import Across, Compared, Headline, Rival, Table, Timed

MADE = "arm,seed,parameters,loss,seconds,error\na,0,,1.0,,\na,1,,2.0,,\nb,0,,3.0,,\nb,1,,4.5,,\n"


@pytest.mark.parametrize("path", texts(), ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_to_rewrite(path):
    text = path.read_text()
    assert filled(text, headlines()) == text, "run python tools/headlines.py"


def test_every_method_has_one_in_its_card():
    for name in registry.methods():
        assert f"headline {name}" in headlines()
        assert f"<!-- headline {name} -->" in (ROOT / "tfzoo" / name / "README.md").read_text()


def test_the_guides_have_those_of_all_results_that_are_committed():
    guides = [path.read_text() for path in (ROOT / "docs" / "methods").glob("*.md")]
    quoted = re.findall(r"<!-- headline (\w+) -->", "".join(guides))
    studied = {path.parent.name for path in (ROOT / "results").glob("*/*-study.json")}
    assert len(quoted) == len(set(quoted)) and set(quoted) == studied


def test_readme_sets_every_method_against_another():
    quoted = re.findall(r"<!-- (against \w+) -->", (ROOT / "README.md").read_text())
    assert len(quoted) == len(set(quoted)) == 10 and set(quoted) <= set(headlines())


def test_the_sentence(tmp_path):
    (tmp_path / "results" / "toy").mkdir(parents=True)
    (tmp_path / "results" / "toy" / "x-results.csv").write_text(MADE)
    less = Headline("toy", "x", "loss", "loss", "a", "b", digits=2)
    sentence = filled("x <!-- headline toy -->old\n<!-- end -->.", {"headline toy": less}, tmp_path)
    assert sentence == (
        "x <!-- headline toy -->loss: a 1.50 ± 6.35; b 3.75 ± 9.53; difference -2.25 ± 3.18 over "
        "2 seeds (inconclusive (mean for it))<!-- end -->."
    )
    more = Headline("toy", "x", "loss", "loss", "a", "b", more=True)
    assert "mean against it" in more.text(tmp_path)
    with pytest.raises(InputError, match="'headline none': must be one of headline toy"):
        filled("<!-- headline none --><!-- end -->", {"headline toy": less}, tmp_path)
    with pytest.raises(InputError, match="no column 'cost'"):
        Headline("toy", "x", "cost", "", "a", "b").text(tmp_path)


def test_a_method_against_what_one_would_use_otherwise(tmp_path):
    (tmp_path / "results" / "toy").mkdir(parents=True)
    (tmp_path / "results" / "toy" / "x-results.csv").write_text(MADE)
    settings = {"digits": 1, "called": "the other"}
    near = Rival("toy", "x", "loss", "loss", "a", "b", **settings)
    assert near.text(tmp_path) == "loss 1.5, the other 3.8: 2.2 ± 3.2 open"
    far = Rival("toy", "x", "loss", "loss", "a", "a", second_metric="parameters", **settings)
    rows = MADE.replace("a,0,,", "a,0,9,").replace("a,1,,", "a,1,10,")
    (tmp_path / "results" / "toy" / "x-results.csv").write_text(rows)
    assert far.text(tmp_path) == "loss 1.5, the other 9.5: 8.0 ± 0.0 better"
    assert replace(far, more=True).text(tmp_path).endswith(" worse")


def test_times_against_those_of_what_one_would_use_otherwise(tmp_path):
    (tmp_path / "results" / "toy").mkdir(parents=True)
    rows = "size,who,seconds,peak_mib\n1,ours,9,9\n2,ours,0.1824,301.2\n2,plain,1.4105,4856.6\n"
    (tmp_path / "results" / "toy" / "bench-results.csv").write_text(rows)
    timed = Timed("toy", "2 rows", {"size": "2"}, "who", "ours", "plain", "loops")
    said = filled("<!-- against toy --><!-- end -->", {"against toy": timed}, tmp_path)
    assert "-->2 rows: 182 ms, 301 MiB; loops 1,410 ms, 4,857 MiB<!--" in said
    with pytest.raises(InputError, match="0 rows of 'plain', must be 1"):
        replace(timed, rows={"size": "1"}).text(tmp_path)


def test_a_table_of_all_arms(tmp_path):
    (tmp_path / "results" / "toy").mkdir(parents=True)
    rows = "arm,seed,parameters,loss,right,plain,error\n"
    rows += "a,0,,1,.5,7,\na,1,,2,.5,7,\nb,0,,3,.75,7,\nb,1,,4.5,.75,7,\nc,0,,1000,,7,broken\n"
    (tmp_path / "results" / "toy" / "x-results.csv").write_text(rows)
    table = Table(
        "toy",
        "x",
        {"loss": "the loss", "right": "accuracy"},
        names={"b": "ours"},
        less=["loss"],
        more=["right"],
        digits={"loss": 1},
        plain={"without": {"loss": "plain"}},
    )
    known = {"table toy x": table}
    lines = filled("<!-- table toy x --><!-- end -->", known, tmp_path).splitlines()
    assert lines == [
        "<!-- table toy x -->",
        "| | the loss | accuracy |",
        "|---|---|---|",
        "| a | **1.5 ± 6.4** | 0.500 |",
        "| ours | 3.8 ± 9.5 | **0.750** |",
        "| c | - | - |",
        "| without | 7.0 | - |",
        "<!-- end -->",
    ]
    turned = replace(table, arms=["a", "b"], turned=True)
    assert turned.text(tmp_path).splitlines() == [
        "",
        "| | a | ours | without |",
        "|---|---|---|---|",
        "| the loss | **1.5 ± 6.4** | 3.8 ± 9.5 | 7.0 |",
        "| accuracy | 0.500 | **0.750** | - |",
    ]
    some = replace(table, arms=["b"], plain={})
    assert some.text(tmp_path).count("\n") == 4
    with pytest.raises(InputError, match="no arm 'd'"):
        replace(table, arms=["d"]).text(tmp_path)
    with pytest.raises(InputError, match="no column 'time'"):
        replace(table, columns={"time": "s"}).text(tmp_path)


def test_a_table_across_data(tmp_path):
    (tmp_path / "results" / "toy").mkdir(parents=True)
    (tmp_path / "results" / "toy" / "x-results.csv").write_text(MADE)
    other = "arm,seed,loss,error\nb,0,2,\nb,1,2,\nc,0,1000,\n"
    (tmp_path / "results" / "toy" / "y-results.csv").write_text(other)
    arms = {"b": "theirs", "a": "ours"}
    table = Across("toy", {"x": "few", "y": "many"}, "loss", arms, digits={"x": 1})
    assert table.text(tmp_path).splitlines() == [
        "",
        "| data | theirs | ours |",
        "|---|---|---|",
        "| few | 3.8 ± 9.5 | **1.5 ± 6.4** |",
        "| many | **2.000** | - |",
    ]
    assert "**3.8 ± 9.5** | 1.5" in replace(table, more=True).text(tmp_path)
    pairs = {("a", "b"): "ours less theirs"}
    differences = replace(table, arms=pairs, more=None, others={("c", "loss"): "c's"})
    assert differences.text(tmp_path).splitlines()[1:] == [
        "| data | ours less theirs | c's |",
        "|---|---|---|",
        "| few | -2.2 ± 3.2 | - |",
        "| many | - | 1,000.000 |",
    ]


def test_an_arm_compared_with_each_other(tmp_path):
    (tmp_path / "results" / "toy").mkdir(parents=True)
    rows = ["arm,seed,loss,error"]
    for seed, noise in enumerate((0.01, -0.01, 0.02, -0.02)):
        for arm, loss in (("ours", 1), ("far", 2 + noise), ("near", 1 + noise), ("other", 3)):
            rows.append(f"{arm},{seed},{loss},")
    (tmp_path / "results" / "toy" / "x-results.csv").write_text("\n".join(rows) + "\n")
    table = Compared("toy", "x", "loss", "the loss", {"ours": ["far", "near"]}, "ours less it")
    assert table.text(tmp_path).splitlines() == [
        "",
        "| arm | the loss | ours less it | p, adjusted | verdict |",
        "|---|---|---|---|---|",
        "| ours | 1.000 |  |  |  |",
        "| far | 2.000 ± 0.029 | -1.000 ± 0.029 | 0.000 | better |",
        "| near | 1.000 ± 0.029 | 0.000 ± 0.029 | 1.000 | no difference shown |",
        "| other | 3.000 |  |  |  |",
    ]
    assert "0.000 | worse" in replace(table, more=True).text(tmp_path)


def test_every_table_is_in_a_card():
    cards = "".join(path.read_text() for path in (ROOT / "tfzoo").glob("*/README.md"))
    declared = {name for name in headlines() if name.startswith("table ")}
    assert declared == set(re.findall(r"<!-- (table [\w ]+) -->", cards))
