"""Submit jobs over HTTP in tests, and wait for them."""

from tests.processes import until


def submit(client, code=202, **body):
    """POST /jobs; the body of the response, whose status has to be `code`."""
    return client.request("POST", "/jobs", code, json=body).json


def wait_for_end(client, job_id):
    """The job once it has ended."""

    def ended_job():
        (job,) = client.get(f"/jobs?job_id={job_id}").json["jobs"]
        return job["status"] in ("completed", "failed", "cancelled") and job

    return until(ended_job, "the job has ended")
