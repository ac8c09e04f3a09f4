"""A Jupyter kernel that a test starts, and all messages that it sends to its front end."""

import ast
import os
import queue
import sys
from pathlib import Path

from jupyter_client import KernelManager

from tests.processes import until

ROOT = Path(__file__).parents[1]
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Kernel:
    """A kernel with this environment, in a folder of its own; `messages` are all it has sent, oldest first."""

    def __init__(self, folder, **environment):
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("ANALYTICS_KIT_", "REDIS_"))
        }
        inherited |= {
            "PYTHONPATH": str(ROOT),
            "IPYTHONDIR": str(folder / "ipython"),
            "ANALYTICS_KIT_HOME": str(folder / "home"),
        }
        inherited.pop("SERVER_SOFTWARE", None)
        self.messages = []
        self._manager = KernelManager(connection_file=str(folder / "kernel.json"))
        self._manager.kernel_spec.argv[0] = sys.executable
        self._manager.start_kernel(env=inherited | environment, cwd=str(folder))
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
        """Run a cell to its end and return its messages."""
        content = {
            "code": code, "silent": silent, "store_history": not silent, "user_expressions": {},
            "allow_stdin": stdin, "stop_on_error": True,
        }  # fmt: skip
        request = self.send("execute_request", content, metadata | ({"cellId": cell} if cell else {}))
        reply = self._reply(request)
        assert (reply["content"]["status"] == "error") is raises, "\n".join(reply["content"].get("traceback", []))
        return self._messages_of(request)

    def run_silently(self, code):
        """Run code that belongs to no cell."""
        self.run(code, silent=True)

    def evaluate(self, expression):
        """Return the value of an expression in the kernel."""
        content = {
            "code": "", "silent": True, "store_history": False, "user_expressions": {"value": expression},
            "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        value = self._reply(self.send("execute_request", content, {}))["content"]["user_expressions"]["value"]
        assert value["status"] == "ok", value
        return ast.literal_eval(value["data"]["text/plain"])

    def send_to_widget(self, model_id, **content):
        """Send a widget what its page would send; wait until it is handled and return the messages meanwhile."""
        data = {"method": "custom", "content": content}
        request = self.send("comm_msg", {"comm_id": model_id, "data": data}, {})
        return self._messages_of(request)

    def send(self, message_type, content, metadata):
        """Send a message on the shell channel and return its id."""
        message = self.client.session.msg(message_type, content, metadata=metadata)
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def receive(self):
        """Receive the messages that have arrived, and return all messages so far."""
        while True:
            try:
                self.messages.append(self.client.get_iopub_msg(timeout=0))
            except queue.Empty:
                return self.messages

    def until(self, condition, what):
        """Wait until a condition of the messages holds."""
        return until(lambda: condition(self.receive()), what)

    def _reply(self, request):
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == request:
                return reply

    def _messages_of(self, request):
        def has_ended(messages):
            return any(
                message["msg_type"] == "status"
                and message["content"]["execution_state"] == "idle"
                and message["parent_header"].get("msg_id") == request
                for message in reversed(messages)
            )

        self.until(has_ended, "the kernel is idle again")
        return [message for message in self.messages if message["parent_header"].get("msg_id") == request]


def displays(messages):
    """Return each display: "view" or "record", whether it is an update, and its display id."""
    return [
        ("view" if WIDGET_VIEW in message["content"]["data"] else "record",
         message["msg_type"] == "update_display_data", message["content"]["transient"].get("display_id"))
        for message in messages
        if message["msg_type"] in ("display_data", "update_display_data")
    ]  # fmt: skip


def record_texts(messages):
    """Return the text of each static record that was displayed or updated."""
    return [
        message["content"]["data"]["text/plain"]
        for message in messages
        if message["msg_type"] in ("display_data", "update_display_data")
        and WIDGET_VIEW not in message["content"]["data"]
    ]


def first_model_id(messages):
    """Return the id of the first widget that was displayed."""
    return next(
        message["content"]["data"][WIDGET_VIEW]["model_id"]
        for message in messages
        if message["msg_type"] == "display_data" and WIDGET_VIEW in message["content"]["data"]
    )


def drawn_html(messages, model_id):
    """Return the HTML of each update of a widget after its creation."""
    return [
        message["content"]["data"]["state"]["content"]["html"]
        for message in messages
        if message["msg_type"] == "comm_msg"
        and message["content"]["comm_id"] == model_id
        and "content" in message["content"]["data"].get("state", {})
    ]
