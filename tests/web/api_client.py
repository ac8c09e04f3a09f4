"""A client of the HTTP API inside the test's process."""

from analytics_kit.model import JobRequest
from analytics_kit.web import URL_PREFIX
from analytics_kit.web.app import APP_NAME

TOKENS = {"ann": "ann-0123456789abcdef", "bob": "bob-0123456789abcdef"}


class ApiClient:
    """A client with the token of a namespace, or without a token."""

    def __init__(self, app, namespace=None):
        self.client, self.namespace, self.service = app.test_client(), namespace, app.extensions[APP_NAME]

    @property
    def backend(self):
        """The backend of the namespace, as the server uses it."""
        return self.service.client_for(self.namespace).backend

    def request(self, method, path, code=None, headers=None, **options):
        """Return the response, whose status has to be `code`."""
        token = {} if self.namespace is None else {"Authorization": f"Bearer {TOKENS[self.namespace]}"}
        response = self.client.open(f"{URL_PREFIX}{path}", method=method, headers=token | (headers or {}), **options)
        assert code in (None, response.status_code), response.get_data()
        return response

    def get(self, path, code=200, **options):
        return self.request("GET", path, code, **options)

    def post(self, path, code=202, body=b"", content_type="application/zip", **options):
        return self.request("POST", path, code, data=body, content_type=content_type, **options)

    def delete(self, path, code):
        return self.request("DELETE", path, code)

    def ended_job(self, study):
        """Process a study, and return its job once that has ended."""
        return self.get(f"/{study}/zip-data?async=false").json

    def submit_step(self, step, **arguments):
        """Submit a job that runs one of the tests' steps; return its id."""
        request = JobRequest(
            f"tests.backends.sample_steps.{step}", arguments, f"key-{step}", "/data/other.zip", owner=self.namespace
        )
        return self.backend.submit(request).job_id
