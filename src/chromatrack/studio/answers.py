"""The kinds of answers, as the description of the API has them."""

from __future__ import annotations

from typing import Any

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


def _pictures(*kinds: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "A picture", "content": {f"image/{kind}": {} for kind in kinds}}}


JPEG, PNG, PICTURE = _pictures("jpeg"), _pictures("png"), _pictures("jpeg", "png")
"""Good answers that are pictures; with `response_class=Response`, which has no kind of its own."""
