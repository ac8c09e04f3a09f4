"""Base models of requests and responses, and the error response that all routes share.

A response model's class name is its component name in OpenAPI; its docstrings are the descriptions there.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


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
    message: str
    hint: str
    """What to do about it."""
    parameter: str = ""
    """The parameter that can't be used; left out if there is none."""
