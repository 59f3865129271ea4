"""The dashboard and the alert rules ask for what ``/metrics`` serves."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import yaml
from attrs import frozen
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred

from autodial.service.metrics import Measured
from tests.integration.conftest import Now
from tests.integration.house import House, variant

Served = dict[str, list[dict[str, str]]]

DEPLOY = Path(__file__).parents[3] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
#: What Prometheus adds: a series of its own, and labels of every series.
UP, ADDED = "up", {"instance", "job"}

_SELECTOR = re.compile(r"([a-z_:][a-z0-9_:]*)\s*\{([^}]*)\}")
_MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*(?:,|$)')
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_WORDS = {"and", "or", "unless", "bool", "offset"}


@frozen
class Query:
    """What one expression of PromQL asks for."""

    #: Each metric with its matchers: label, operator, value.
    selectors: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...]
    grouped: frozenset[str]  #: labels by which it groups or joins


def parsed(expression: str) -> Query:
    """Its metrics with a matcher, and those without one."""
    selectors = [
        (name, tuple(_MATCHER.findall(matchers)))
        for name, matchers in _SELECTOR.findall(expression)
    ]
    rest = _SELECTOR.sub(" ", expression)
    labels = {word for inside in _GROUPED.findall(rest) for word in re.findall(r"\w+", inside)}
    rest = re.sub(r"\[[^\]]*\]", " ", _GROUPED.sub(" ", rest))
    bare = set(re.findall(r"[a-z_][a-z0-9_]*\b(?!\s*\()", rest)) - _WORDS
    return Query((*selectors, *((name, ()) for name in sorted(bare))), frozenset(labels))


@pytest.fixture
def served(house: House, now: Now) -> Served:
    """The labels of each series of a dialler at work, by name."""
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    house.ask("result", attempt, "dial", "BUSY", "17", "SIP%20486%20x")
    # As a node among several, which serves a little more.
    house.engine.calls.config = variant(house.engine.config, node={"name": "one"})
    measured = Measured(house.server, house.engine, now)
    pytest_twisted.blockon(Deferred.fromCoroutine(measured.read_backlog()))
    names: Served = {UP: [{}]}
    for family in text_string_to_metric_families(generate_latest(measured).decode()):
        for sample in family.samples:
            names.setdefault(sample.name, []).append(dict(sample.labels))
    return names


def complaints(expression: str, served: Served) -> list[str]:
    """What an expression asks for in vain."""
    query, found = parsed(expression), list[str]()
    there = [labels for name, _ in query.selectors for labels in served.get(name, ())]
    unknown = query.grouped - ADDED - set().union(*there)
    found += [f"no metric has the label {label}" for label in sorted(unknown)]
    for name, matchers in query.selectors:
        if name not in served:
            found.append(f"{name} is not served")
            continue
        labels = set().union(*served[name]) | ADDED
        for label, operator, value in matchers:
            if label not in labels:
                found.append(f"{name} has no label {label}")
            elif label not in ADDED and "$" not in value:
                values = {labels.get(label, "") for labels in served[name]}
                wanted = value.split("|") if "~" in operator else [value]
                found += [f"{name} has no {label} {one}" for one in set(wanted) - values]
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_looks_at_what_is_served(rule: dict[str, Any], served: Served) -> None:
    assert [] == complaints(rule["expr"], served)


def test_the_dashboard_shows_what_is_served(served: Served) -> None:
    assert len(QUERIES) > 12
    assert [] == [words for expression in QUERIES for words in complaints(expression, served)]


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("rate(autodial_nonsense[5m]) > 1", "autodial_nonsense is not served"),
        ('autodial_calls{stat="claimed"}', "autodial_calls has no label stat"),
        ('autodial_calls{state="talking"}', "autodial_calls has no state talking"),
        ("sum by (who) (autodial_calls)", "no metric has the label who"),
        ('up{job="x"} == 0 and autodial_healty', "autodial_healty is not served"),
    ],
)
def test_a_mistake_would_be_seen(expression: str, complaint: str, served: Served) -> None:
    assert [complaint] == complaints(expression, served)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_it_means_and_what_to_do(rule: dict[str, Any], served: Served) -> None:
    texts = rule["annotations"]
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(texts.values())))
    (name, _), *_ = parsed(rule["expr"]).selectors

    assert {"summary", "description"} == set(texts)
    assert all(len(text) > 20 for text in texts.values())
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert named <= set().union(*served[name]) | ADDED


@pytest.mark.parametrize("document", ["docs/operations.md", "docs/ru/operations.md"])
def test_the_documents_name_what_is_served(document: str, served: Served) -> None:
    text = (DEPLOY.parent / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`(autodial_\w+)`", text))

    assert len(named) > 5
    assert set() == named - {name.removesuffix("_count") for name in served}


def test_alerts_and_panels_have_names_of_their_own() -> None:
    for names in (
        [rule["alert"] for rule in RULES],
        [panel["title"] for panel in DASHBOARD["panels"]],
        [panel["id"] for panel in DASHBOARD["panels"]],
    ):
        assert len(set(names)) == len(names)


def test_what_keeps_calls_from_being_placed_has_an_alert(house: House, now: Now) -> None:
    """A new condition of ``/healthz`` needs one, too."""
    health = Measured(house.server, house.engine, now).health()
    watched = {
        one
        for rule in RULES
        for name, matchers in parsed(rule["expr"]).selectors
        if name == "autodial_healthy"
        for _, _, value in matchers
        for one in value.split("|")
    }

    assert set(health) == watched


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool on this machine")
def test_prometheus_itself_reads_both(tmp_path: Path) -> None:
    """The queries of the dashboard as recording rules: promtool checks only rules."""
    queries = [expression.replace("$__rate_interval", "5m") for expression in QUERIES]
    rules = [{"record": f"query:{number}", "expr": text} for number, text in enumerate(queries)]
    recorded = tmp_path / "queries.yml"
    recorded.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", DEPLOY / "alerts.yml", recorded],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert 0 == done.returncode, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout
