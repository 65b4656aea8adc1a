"""The kinds of answers, as the description of the API has them."""

from __future__ import annotations

from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel


class Refusal(BaseModel):
    """Why something was not done, in one line.

    revision: of the state, where what was asked for was about an earlier one.
    """

    error: str
    revision: int | None = None


REFUSED: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Refusal, "description": "Refused"},
    "5XX": {"model": Refusal, "description": "Cannot be done now"},
}
"""What any address may answer beside what it is for."""


class Jpeg(Response):
    """A picture."""

    media_type = "image/jpeg"


class Png(Response):
    """A picture without loss."""

    media_type = "image/png"


PICTURE_OR_TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A picture, or text",
        "content": {"image/jpeg": {}, "image/png": {}, "application/json": {}},
    }
}
