"""A Jupyter kernel that a test starts, and all the messages that a front end would get from it."""

import ast
import os
import queue
import sys
from pathlib import Path

from jupyter_client import KernelManager

from tests.processes import until

ROOT = Path(__file__).parents[1]
VIEW = "application/vnd.jupyter.widget-view+json"


class Kernel:
    """A kernel with this environment, in a folder of its own; its messages are in `heard`, oldest first."""

    def __init__(self, folder, **environment):
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("ANALYTICS_KIT_", "REDIS_"))
        }
        kept |= {
            "PYTHONPATH": str(ROOT),
            "IPYTHONDIR": str(folder / "ipython"),
            "ANALYTICS_KIT_HOME": str(folder / "home"),
        }
        kept.pop("SERVER_SOFTWARE", None)
        self.heard = []
        self._manager = KernelManager(connection_file=str(folder / "kernel.json"))
        self._manager.kernel_spec.argv[0] = sys.executable
        self._manager.start_kernel(env=kept | environment, cwd=str(folder))
        self.client = self._manager.blocking_client()
        self.client.start_channels(stdin=False, hb=False, control=False)
        self.client.wait_for_ready(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    def run(self, code, cell="", stdin=True, silent=False, raises=False, **metadata):
        """Run a cell, and give what was heard of it, up to its end."""
        content = {
            "code": code, "silent": silent, "store_history": not silent, "user_expressions": {},
            "allow_stdin": stdin, "stop_on_error": True,
        }  # fmt: skip
        request = self.send("execute_request", content, metadata | ({"cellId": cell} if cell else {}))
        reply = self._reply(request)
        assert (reply["content"]["status"] == "error") is raises, "\n".join(reply["content"].get("traceback", []))
        return self._of(request)

    def do(self, code):
        """Run code that is no cell."""
        self.run(code, silent=True)

    def value(self, expression):
        """What an expression is worth in the kernel."""
        content = {
            "code": "", "silent": True, "store_history": False, "user_expressions": {"it": expression},
            "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        found = self._reply(self.send("execute_request", content, {}))["content"]["user_expressions"]["it"]
        assert found["status"] == "ok", found
        return ast.literal_eval(found["data"]["text/plain"])

    def press(self, model, **content):
        """Tell a widget what its page tells; wait until it has been heard, and give what came meanwhile."""
        data = {"method": "custom", "content": content}
        request = self.send("comm_msg", {"comm_id": model, "data": data}, {})
        return self._of(request)

    def send(self, kind, content, metadata):
        """Send a message on the shell channel; gives its id."""
        message = self.client.session.msg(kind, content, metadata=metadata)
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def listen(self):
        """Take in what has come; gives all that was heard so far."""
        while True:
            try:
                self.heard.append(self.client.get_iopub_msg(timeout=0))
            except queue.Empty:
                return self.heard

    def until(self, condition, what):
        """Wait until a condition of the messages that were heard holds."""
        return until(lambda: condition(self.listen()), what)

    def _reply(self, request):
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == request:
                return reply

    def _of(self, request):
        def ended(heard):
            return any(
                message["msg_type"] == "status"
                and message["content"]["execution_state"] == "idle"
                and message["parent_header"].get("msg_id") == request
                for message in reversed(heard)
            )

        self.until(ended, "the kernel is idle again")
        return [message for message in self.heard if message["parent_header"].get("msg_id") == request]


def shows(messages):
    """What was displayed, in order: "view" or "record", whether as an update, and the display id."""
    return [
        ("view" if VIEW in message["content"]["data"] else "record", message["msg_type"] == "update_display_data",
         message["content"]["transient"].get("display_id"))
        for message in messages
        if message["msg_type"] in ("display_data", "update_display_data")
    ]  # fmt: skip


def records(messages):
    """The text of each record that was displayed or updated, in order."""
    return [
        message["content"]["data"]["text/plain"]
        for message in messages
        if message["msg_type"] in ("display_data", "update_display_data") and VIEW not in message["content"]["data"]
    ]


def model_of(messages):
    """The id of the widget that was displayed first."""
    return next(
        message["content"]["data"][VIEW]["model_id"]
        for message in messages
        if message["msg_type"] == "display_data" and VIEW in message["content"]["data"]
    )


def drawn(messages, model):
    """The HTML that the widget was told to draw after it was made, in order."""
    return [
        message["content"]["data"]["state"]["shown"]["html"]
        for message in messages
        if message["msg_type"] == "comm_msg"
        and message["content"]["comm_id"] == model
        and "shown" in message["content"]["data"].get("state", {})
    ]
