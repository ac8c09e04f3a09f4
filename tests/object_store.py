"""An S3 server on loopback, by moto, which tests stop and start again; what it holds stays."""

import botocore.session
from botocore.config import Config
from moto.server import ThreadedMotoServer

BUCKET = "lab"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
NO_CREDENTIALS = dict.fromkeys(CREDENTIALS, "")


class ObjectStore:
    """The server. `environment` lets a process find it, and has no credentials."""

    def __init__(self, folder) -> None:
        self._server, self.port = None, 0
        self.start()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
            "AWS_CONFIG_FILE": str(folder / "no-config"),
            "AWS_MAX_ATTEMPTS": "1",
        }
        self.client = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="tests",
            aws_secret_access_key="tests",
            config=Config(retries={"max_attempts": 1}),
        )
        self.client.create_bucket(Bucket=BUCKET)

    def start(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        self._server.stop()

    def put(self, key, content) -> str:
        """Store an object and return its URL."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def keys(self, prefix="") -> list[str]:
        """Return the keys that begin with the prefix, and those of uploads that were begun and neither ended."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        found = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        begun = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())
        return found + [upload["Key"] for upload in begun]
