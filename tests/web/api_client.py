"""Who asks the HTTP API in tests."""

from analytics_kit.model import JobRequest
from analytics_kit.web.app import NAME, PREFIX

TOKENS = {"ann": "ann-0123456789abcdef", "bob": "bob-0123456789abcdef"}


class Asker:
    """Somebody with a token, or without one."""

    def __init__(self, app, name=None):
        self.client, self.name, self.service = app.test_client(), name, app.extensions[NAME]

    def ask(self, method, path, code=None, headers=None, **how):
        """The answer; `code` is the status that it has to have."""
        known = {} if self.name is None else {"Authorization": f"Bearer {TOKENS[self.name]}"}
        answer = self.client.open(f"{PREFIX}{path}", method=method, headers=known | (headers or {}), **how)
        assert code in (None, answer.status_code), answer.get_data()
        return answer

    def get(self, path, code=200, **how):
        return self.ask("GET", path, code, **how)

    def post(self, path, code=202, body=b"", kind="application/zip", **how):
        return self.ask("POST", path, code, data=body, content_type=kind, **how)

    def delete(self, path, code):
        return self.ask("DELETE", path, code)

    def done(self, study):
        """The job of a study, which has ended."""
        return self.get(f"/{study}/zip-data?async=false").json

    def submit(self, deed, **arguments):
        """A job with a task of the tests' own, on the backend of this asker; its id."""
        request = JobRequest(
            f"tests.backends.sample_steps.{deed}", arguments, f"key-{deed}", "/data/other.zip", owner=self.name
        )
        client = self.service._clients.get(self.name)
        if client is None:
            self.get("/queue-status")
            client = self.service._clients[self.name]
        return client.backend.submit(request).job_id
