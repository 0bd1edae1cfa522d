"""What the reference shows of the query gateway: parameters, and the shapes of ``bodies``."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from leaderboards.api import bodies, questions

F = TypeVar("F", bound=Callable[..., Any])

TAG = "query"
LIVE_TAG = "live"
_REF = "#/components/schemas/{name}"
_SHAPES = (
    bodies.BoardsBody,
    bodies.TopBody,
    bodies.NeighborhoodBody,
    bodies.RankBody,
    bodies.ScoreBody,
    bodies.PercentileBody,
    bodies.ScoreRankBody,
    bodies.GroupBody,
    bodies.WindowsBody,
    bodies.SnapshotsBody,
    bodies.SnapshotTopBody,
    bodies.SnapshotRankBody,
    bodies.TicketBody,
)
# Their time is appended when the answer is sent.
_DATED = (bodies.TopBody, bodies.NeighborhoodBody, bodies.SnapshotTopBody)

WINDOW_KEY = OpenApiParameter(
    "window_key",
    OpenApiTypes.STR,
    description="A window's key, or `current`. Left out: the active window or, while that has no "
    "entry, the most recent closed one.",
)
OFFSET = OpenApiParameter(
    "offset",
    {"type": "integer", "minimum": 0, "default": 0},
    description="0-based; one past the end gives an empty list.",
)
SCORE = OpenApiParameter(
    "score", OpenApiTypes.NUMBER, required=True, description="At most the board's decimals."
)
USER_IDS = OpenApiParameter(
    "user_id", OpenApiTypes.STR, required=True, many=True, description="1 to 100 players."
)
SINCE = OpenApiParameter("from", OpenApiTypes.DATETIME, description="RFC 3339, included.")
UNTIL = OpenApiParameter("to", OpenApiTypes.DATETIME, description="RFC 3339, included.")
TICKET_REQUEST = {
    "type": "object",
    "properties": {
        "leaderboard_id": {
            "type": ["string", "null"],
            "description": "The board that the ticket is for; left out: any.",
        },
        "window_key": {"type": "string", "default": questions.CURRENT},
    },
}


def limit(default: int, maximum: int) -> OpenApiParameter:
    """Return the parameter of a page's length."""
    schema = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return OpenApiParameter("limit", schema)


LIMIT = limit(questions.DEFAULT_LIMIT, questions.MAX_LIMIT)
NEIGHBORS = limit(questions.DEFAULT_NEIGHBORS, questions.MAX_NEIGHBORS)


def answers(
    shape: type[msgspec.Struct], *parameters: OpenApiParameter, **more: Any
) -> Callable[[F], F]:
    """Describe a read: what it is asked with, and the shape of its answer."""
    status = more.pop("status", 200)
    found = OpenApiResponse({"$ref": _REF.format(name=shape.__name__)})
    return extend_schema(parameters=list(parameters), responses={status: found}, tags=[TAG], **more)


def shape_components() -> dict[str, Any]:
    """Return the JSON schemas of all answers, by name."""
    _, components = msgspec.json.schema_components(_SHAPES, ref_template=_REF)
    for dated in _DATED:
        components[dated.__name__]["properties"]["as_of"] = {
            "type": "string",
            "format": "date-time",
            "description": "When the standings were so.",
        }
    return {name: _with_numbers(schema) for name, schema in components.items()}


def _with_numbers(schema: Any) -> Any:
    """Show decimals as the JSON numbers that they are sent as."""
    if isinstance(schema, list):
        return [_with_numbers(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {"type": "number"}
    return {name: _with_numbers(item) for name, item in schema.items()}
