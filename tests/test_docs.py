"""Do the docs of the metrics say what the catalogue says and the code works out, and is all of space drawn?"""

import itertools
import math
import re
import zipfile
from xml.etree import ElementTree

import pytest

import analytics_kit
from analytics_kit.options import FORMATS, Options
from analytics_kit.study.metrics.catalogue import CATALOGUE, FAMILIES, METRIC_NAMES
from scripts import example, metrics_page
from scripts.drawings import DRAWINGS
from scripts.metrics_page import DOCS, DRAWING_OF, files

ROOT = DOCS.parent


@pytest.fixture(scope="module")
def made():
    return files()


def test_the_page_and_its_drawings_are_as_they_would_be_written_now(made):
    """`make docs` writes them anew."""
    for path, text in made.items():
        assert path.read_text() == text, path.name
    assert {path for path in made if path.suffix == ".svg"} == set((DOCS / "drawings").iterdir())


def test_every_metric_has_its_formula_and_example_on_the_page(made):
    page = made[DOCS / "metrics.md"]
    examples = example.values()
    for metric in CATALOGUE:
        start = page.index(metric.name if metrics_page.prefix(metric) else f"### {metric.name}\n")
        section = page[start : page.find("\n### ", start + 1)]
        for words in (metric.formula.replace("|", "\\|" if metrics_page.prefix(metric) else "|"), metric.source):
            assert words in section, metric.name
        assert metrics_page.number(metric, examples) in section, metric.name
        for option in metric.thresholds:
            assert f"`{option}` {getattr(Options(), option):g}" in section, metric.name


def test_the_example_has_a_value_for_every_metric():
    examples = example.values()
    assert list(examples) == list(METRIC_NAMES)
    assert not [name for name, value in examples.items() if math.isnan(value)]


def test_the_example_is_what_the_platform_could_log():
    places = [row[1:] for row in example.MOVES]
    assert all(math.dist(a, b) > 10 for a, b in itertools.pairwise(places))
    for rows in (example.MOVES, example.CLICKS, example.SCROLLS, example.KEYS):
        times = [row[0] for row in rows]
        assert times == sorted(times)
        assert all(round(t, 2) == t for t in times)


def test_every_metric_of_space_has_a_drawing():
    units = {"px", "px2", "px/s", "px/s2", "rad", "rad/px"}
    for metric in CATALOGUE:
        if metric.unit in units and metric.native != "unavailable":
            assert metric.name in DRAWING_OF, metric.name
    for family in FAMILIES:
        if family.title in ("Path, rest and extent", "Speed", "Shape", "Complexity and direction", "Aiming"):
            assert DRAWING_OF.keys() >= {metric.name for metric in family.metrics}
    assert DRAWING_OF.keys() <= set(METRIC_NAMES)
    assert set(DRAWING_OF.values()) == DRAWINGS.keys()


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_whole_and_in_its_sheet(name, made):
    sheet = ElementTree.fromstring(made[DOCS / "drawings" / f"{name}.svg"])  # noqa: S314 - our own
    width, height = float(sheet.get("width")), float(sheet.get("height"))
    assert sheet.find("{*}title").text
    for shape in sheet:
        for corner in shape.get("points", "").split():
            x, y = map(float, corner.split(","))
            assert 0 <= x <= width, name
            assert 0 <= y <= height, name
        if shape.tag.endswith("text"):
            assert 0 < float(shape.get("x")) < width
            assert 8 < float(shape.get("y")) < height


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted(DOCS.glob("*.md"))],
    ids=lambda path: path.name,
)
def test_links_lead_somewhere(page):
    text = page.read_text()
    headings = {metrics_page.anchor(words) for words in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, part = target.partition("#")
        assert (page.parent / file).exists() if file else part in headings, target


def test_the_measured_page_names_metrics_that_there_are():
    named = set(re.findall(r"^\| `(\w+)`", (DOCS / "logger.md").read_text(), re.MULTILINE))
    assert named <= set(METRIC_NAMES)
    assert named >= {metric.name for metric in CATALOGUE if "mouse_movement" in metric.needs}


def test_the_described_log_of_the_page_about_formats_can_be_read(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", (DOCS / "formats.md").read_text(), re.DOTALL)[1]
    rows = [
        "1000,1,1,,mousemove,4", "1100,30,1,,mousemove,4", "1200,30,1,,mousedown,4", "1300,30,1,,mouseup,4",
        "1400,,,ArrowLeft,keydown,4", "1500,,,ArrowLeft,keyup,4",
    ]  # fmt: skip
    with zipfile.ZipFile(tmp_path / "logs.zip", "w") as archive:
        archive.writestr("logs/ann.csv", "\n".join(["ms,pageX,pageY,key,type,item", *rows]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANALYTICS_KIT_HOME", str(tmp_path / "home"))
    names: dict[str, object] = {"ak": analytics_kit}
    exec(code, names)  # noqa: S102  the page's own code
    trial = names["result"].trials.iloc[0]
    assert (trial.participant, trial.trial, trial.path_length_px, trial.click_count) == ("ann", 4, 29, 1)
    assert trial.click_hold_mean_s == trial.dwell_time_mean_s == pytest.approx(0.1)


def test_the_page_about_formats_lists_all():
    page = (DOCS / "formats.md").read_text()
    assert all(f"| `{name}` |" in page for name in FORMATS[1:])
