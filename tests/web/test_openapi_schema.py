"""The schema: valid OpenAPI 3.1, and every response to a valid or an invalid request is one that it describes."""

import json
import re
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

import analytics_kit as ak
from analytics_kit.table_export import PARTICIPANT_TABLES
from analytics_kit.web.app import APP_NAME, create_app
from analytics_kit.web.openapi_schema import METHODS
from analytics_kit.web.settings import ServerSettings
from tests.web.api_client import TOKENS, ApiClient
from tests.web.small_study import small_zip

ROUTES = [
    ("GET", "/health"), ("GET", "/health/live"), ("GET", "/jobs"), ("GET", "/jobs/{job_id}"),
    ("DELETE", "/jobs/{job_id}"), ("GET", "/jobs/{job_id}/result"), ("POST", "/jobs/{job_id}/retry"),
    ("GET", "/queue-status"), ("GET", "/studies"), ("GET", "/{study_id}/zip-data"), ("POST", "/{study_id}/zip-data"),
    ("POST", "/jobs"), ("POST", "/jobs/{job_id}/cancel"), ("GET", "/jobs/{job_id}/log"),
    ("GET", "/jobs/{job_id}/result/manifest"), ("GET", "/jobs/{job_id}/result/file"), ("POST", "/uploads/{content}"),
    ("POST", "/forget"),
]  # fmt: skip
BODIES = st.builds(small_zip, st.integers(1, 3))
BOUNDED = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """An application with one study, shared by all requests."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "data").mkdir()
    ak.sample_study(folder / "data" / "0.zip", participants=1, trials=1)
    app = create_app(
        ServerSettings.of("local", home=folder / "home", data=str(folder / "data"), token=f"ann: {TOKENS['ann']}")
    )
    yield app
    app.extensions[APP_NAME].close()


@pytest.fixture(scope="module")
def schema(served):
    for content_type in ("application/zip", "application/x-zip-compressed", "application/octet-stream"):
        schemathesis.openapi.media_type(content_type, BODIES)
    return schemathesis.openapi.from_wsgi("/api/analytics/openapi.json", served)


@pytest.fixture(scope="module")
def completed_id(served):
    """The id of a completed job."""
    return ApiClient(served, "ann").ended_job("0")["job_id"]


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_response_conforms_to_the_schema(schema, completed_id, method, path, mode):
    """All checks of schemathesis: also that valid requests are accepted, and invalid ones and no token refused."""

    @given(case=schema[path][method].as_strategy(generation_mode=mode), exists=st.booleans())
    @BOUNDED
    def send(case, exists):
        if mode is GenerationMode.POSITIVE:
            if exists and method == "GET":  # else nearly all are 404
                case.path_parameters.update({"study_id": "0", "job_id": completed_id} if case.path_parameters else {})
            if path.endswith("/result") and case.query.get("table", "trials") not in PARTICIPANT_TABLES:
                case.query.pop("participant_id", None)  # a schema can't express that one parameter excludes another
            if path == "/jobs" and method == "POST":  # nor what the local backend can't do
                case.body.pop("memory_limit_mb", None)
                case.body.get("options", {}).pop("format", None)
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKENS['ann']}"})

    with suppress(Unsatisfiable):  # some routes have no invalid request
        send()


def test_all_checks_of_schemathesis_are_on():
    checks = set(CHECKS.get_all_names())
    assert {"positive_data_acceptance", "negative_data_rejection", "ignored_auth", "unsupported_method"} <= checks


def test_the_schema_is_valid_openapi_3_1_and_has_every_route(served):
    schema = served.test_client().get("/api/analytics/openapi.json").json
    OpenAPIV31SpecValidator(schema).validate()
    assert schema["openapi"].startswith("3.1")
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)))
    assert references == schema["components"]["schemas"].keys(), "the validator does not follow all of them"
    routes = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule).removeprefix("/api/analytics"))
        for rule in served.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    described = {(method, path) for path, item in schema["paths"].items() for method in item}
    page_routes = {("get", "/"), ("post", "/"), ("get", "/static/{filename}"), ("get", "/docs")}
    assert routes - described == page_routes | {("get", "/openapi.json")}
    assert described <= routes
    assert described == {(method.lower(), path) for method, path in ROUTES}
    assert {method for method, _ in described} == set(METHODS)


def test_descriptions_contain_no_python_examples(served):
    assert ">>>" not in served.test_client().get("/api/analytics/openapi.json").get_data(as_text=True)


def test_all_routes_but_liveness_need_the_token(served):
    schema = served.test_client().get("/api/analytics/openapi.json").json
    for path, item in schema["paths"].items():
        for operation in item.values():
            assert operation["security"] == ([] if path == "/health/live" else [{"token": []}])
    assert schema["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}


def test_the_docs_page_lists_every_route_and_loads_nothing_from_other_hosts(served):
    page = served.test_client().get("/api/analytics/docs").get_data(as_text=True)
    schema = served.test_client().get("/api/analytics/openapi.json").json
    for path, item in schema["paths"].items():
        for method in item:
            assert f"{method.upper()} {path}" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert "participant_id" in page
