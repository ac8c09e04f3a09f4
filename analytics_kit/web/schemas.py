"""Base models of requests and responses, and the error response that all routes share.

A response model's class name is its component name in OpenAPI; its docstrings are the descriptions there.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from analytics_kit.visible_text import visible

ShownText = Annotated[str, AfterValidator(visible)]
"""A text that is shown to people and may quote names: control characters in it are escaped."""


class RequestModel(BaseModel):
    """Path, query or body of a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ResponseModel(BaseModel):
    """Body of a response, or a part of one."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ErrorAnswer(ResponseModel):
    """Error response: what is wrong with the request or the server."""

    error: str
    """The type of the error."""
    message: ShownText
    hint: ShownText
    """What to do about it."""
    parameter: ShownText = ""
    """The parameter that can't be used; left out if there is none."""
