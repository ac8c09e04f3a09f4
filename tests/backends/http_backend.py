"""The backend over HTTP for the contract tests, whose server has an extra route that runs sample steps."""

from dataclasses import asdict

from analytics_kit.backends.http.backend import HttpBackend
from analytics_kit.settings import Settings
from tests.api_server import TOKENS

PROGRAM = "from tests.backends.http_backend import serve; serve()"


class SampleStepsBackend(HttpBackend):
    """Submit sample steps; everything else uses the routes of the product."""

    def submit(self, request):
        return self._job_info(self._transport.request("POST", "/sample-steps", body=asdict(request)))


def connected(url, home):
    """Return Ann's backend."""
    backend = SampleStepsBackend(Settings.of(url, token=TOKENS["ann"], home=home))
    backend._home = home
    backend.connect()
    return backend


def serve():
    """Serve as `analytics-kit serve` does, with `POST /sample-steps` beside the other routes."""
    import analytics_kit.client
    import analytics_kit.web.app
    from analytics_kit.cli import main
    from analytics_kit.job import Job

    analytics_kit.client.WORKER_TASKS = "tests.backends.sample_steps"
    Job.delete = lambda job: job.watcher.backend.delete(job.id)  # the result of a sample step is in no store
    add_routes = analytics_kit.web.app.add_upload_routes

    def add_all(book, service):
        add_routes(book, service)
        _add_sample_steps(book, service)

    analytics_kit.web.app.add_upload_routes = add_all
    main()


def _add_sample_steps(book, service):
    from flask import request

    from analytics_kit.model import JobRequest
    from analytics_kit.web.error_responses import json_response
    from analytics_kit.web.routes.job_schemas import JobAnswer
    from analytics_kit.web.routes.jobs import job_fields

    @book.post("/sample-steps", doc_ui=False)
    def submit_sample_step():
        info = service.client.backend.submit(JobRequest(**request.json | {"tags": tuple(request.json["tags"])}))
        return json_response(JobAnswer(**job_fields(info)))
