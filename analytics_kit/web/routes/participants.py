"""Route of participants: remove one from all that is kept for the namespace."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import Field

from analytics_kit.errors import SettingsError
from analytics_kit.web.error_responses import json_response, redact_locations
from analytics_kit.web.openapi_responses import json_body, responses
from analytics_kit.web.schemas import ErrorAnswer, RequestModel, ResponseModel
from analytics_kit.web.service import Service


class ForgetBody(RequestModel):
    """The participant, in the body because URLs are written to logs."""

    participant: Annotated[str, Field(min_length=1, max_length=500)]
    """The name, as the table of participants has it."""


class ForgetAnswer(ResponseModel):
    """What was removed, and what could not be reached."""

    results: int
    """Stored results that were replaced by ones without the participant."""
    trials: int
    events: int
    members: int
    answers: int
    uploads: int
    """Uploads that were deleted as a whole."""
    jobs: int
    """Jobs whose records or logs were changed."""
    unreached: list[str]
    """What may still hold data of the participant, and what to do about it."""


PARTICIPANT_MODELS = (ForgetAnswer, ForgetBody)
"""Models for the components of OpenAPI."""


def add_participant_routes(blueprint: APIBlueprint, service: Service) -> None:
    """Add the route of participants."""

    @blueprint.post("/forget", responses=responses(json_body(ForgetAnswer, "What was removed."), 404))
    def forget(body: ForgetBody) -> Response:
        """Remove a participant from all results, uploads and jobs of this namespace.

        Results keep their jobs and keys. A 404 means that nothing names such a participant.
        """
        try:
            report = asdict(service.client.forget(body.participant))
        except SettingsError as error:
            return json_response(ErrorAnswer(error="SettingsError", message=error.message, hint=error.hint), 404)
        unreached = [redact_locations(line) for line in report.pop("unreached")]
        return json_response(ForgetAnswer(**report, unreached=unreached))
