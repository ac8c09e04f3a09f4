"""The backend over HTTP for the contract: its server also takes tasks of the tests' own, at a route of theirs."""

from dataclasses import asdict

from analytics_kit.backends.http.backend import HttpBackend
from analytics_kit.settings import Settings
from tests.api_server import TOKENS

PROGRAM = "from tests.backends.http_backend import serve; serve()"


class Far(HttpBackend):
    """Everything but `submit` goes over the routes that there are."""

    def submit(self, request):
        return self._told(self._line.ask("POST", "/deeds", body=asdict(request)))


def connected(url, home):
    """Ann's backend."""
    backend = Far(Settings.of(url, token=TOKENS["ann"], home=home))
    backend._home = home
    backend.connect()
    return backend


def serve():
    """Serve as `analytics-kit serve` does, with `POST /deeds` beside the other routes."""
    import analytics_kit.client
    import analytics_kit.web.app
    from analytics_kit.cli import main
    from analytics_kit.job import Job

    analytics_kit.client.CODE = "tests.backends.sample_steps"
    Job.delete = lambda job: job.watcher.backend.delete(job.id)  # a deed's result is in no store
    add_routes = analytics_kit.web.app.add_upload_routes

    def add_all(book, service):
        add_routes(book, service)
        _add_deeds(book, service)

    analytics_kit.web.app.add_upload_routes = add_all
    main()


def _add_deeds(book, service):
    from flask import request

    from analytics_kit.model import JobRequest
    from analytics_kit.web.error_responses import json_response
    from analytics_kit.web.routes.job_schemas import JobAnswer
    from analytics_kit.web.routes.jobs import job_fields

    @book.post("/deeds", doc_ui=False)
    def deeds():
        info = service.client.backend.submit(JobRequest(**request.json | {"tags": tuple(request.json["tags"])}))
        return json_response(JobAnswer(**job_fields(info)))
