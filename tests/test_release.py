"""The release path: the citation names the package's version; publishing is guarded and takes what was checked."""

import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import analytics_kit

ROOT = Path(__file__).parents[1]


def read_yaml(path):
    return YAML(typ="safe").load(ROOT / path)


@pytest.fixture(scope="module")
def workflow():
    return read_yaml(".github/workflows/release.yml")


def test_citation_names_version_and_licence_of_the_package():
    citation = read_yaml("CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == analytics_kit.__version__
    assert citation["license"] == project["license"]
    assert citation["type"] == "software"
    assert citation["authors"] == [{"name": "The analytics_kit authors"}]
    assert {"title", "message"} <= citation.keys()
    assert not {"doi", "url", "repository-code"} & citation.keys(), "there is none yet"


def test_release_runs_on_version_tags_only(workflow):
    assert workflow["on"] == {"push": {"tags": ["v*"]}}


def test_release_builds_by_make_dist_as_developers_do(workflow):
    assert "make dist" in [step.get("run") for step in workflow["jobs"]["build"]["steps"]]


def test_publishing_needs_the_build_and_the_repository_variable(workflow):
    publish = workflow["jobs"]["publish"]
    assert publish["needs"] == "build"
    assert publish["if"] == "vars.PUBLISH_TO_PYPI == 'true'"
    assert publish["environment"] == "pypi"


def test_only_publishing_may_ask_for_an_identity_token(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "permissions" not in workflow["jobs"]["build"]
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text()
