"""What a client may send, checked by pydantic before anything is done with it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from chromatrack.studio.document import LONGEST_NAME, MOST_JOINTS

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Index = Annotated[int, Field(ge=0, lt=2**31)]
Id = Annotated[int, Field(ge=1, le=65535)]
Key = Annotated[str, Field(max_length=40)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
XY = tuple[Number, Number]
KindName = Literal["object", "point", "box", "keypoints"]

LONGEST_PNG = 32 << 20
"""Letters of a mask in base64."""


class Seen(BaseModel):
    """What was made on a state that was seen.

    revision: of that state; then what was changed elsewhere since is not overwritten (409).
    """

    revision: Annotated[int, Field(ge=0, lt=2**62)] | None = None


class Add(Seen):
    """One thing more; opens: for a mark that follows, so that both are undone and redone as one."""

    type: Literal["add"]
    kind: KindName
    opens: bool = False
    name: Name | None = None
    joints: Annotated[list[Name], Field(min_length=1, max_length=MOST_JOINTS)] | None = None
    edges: Annotated[list[tuple[Index, Index]], Field(max_length=1000)] | None = None


class Change(Seen):
    """Other properties of a thing."""

    type: Literal["change"]
    key: Key
    name: Name | None = None
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None
    visible: bool | None = None
    locked: bool | None = None


class Place(BaseModel):
    """Where one is: the frame on show, and the part that is looped, [start, end)."""

    frame: Index
    loop: tuple[Index, Index] | None = None


class Remove(Seen):
    """One thing less."""

    type: Literal["remove"]
    key: Key


class Merge(Seen):
    """Two things that are one."""

    type: Literal["merge"]
    from_: Key = Field(alias="from")
    into: Key


class Mask(Seen):
    """The whole mask of one object on one frame; an empty one takes it away.

    by: the tool that it was made with, for what undo says. ground: the mean colour of the picture
    under it, so that an object whose colour nobody chose gets one that is seen there.
    """

    type: Literal["mask"]
    by: Literal["select", "brush", "eraser", "polygon"] | None = None
    id: Id
    frame: Index
    png: Annotated[str, Field(max_length=LONGEST_PNG)]
    ground: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None


class Point(Seen):
    """Where a point is."""

    type: Literal["point"]
    id: Id
    frame: Index
    at: XY


class Box(Seen):
    """Where a box is."""

    type: Literal["box"]
    id: Id
    frame: Index
    at: tuple[Number, Number, Number, Number]


class Joint(Seen):
    """Where a joint is."""

    type: Literal["joint"]
    id: Id
    frame: Index
    joint: Annotated[int, Field(ge=0, lt=MOST_JOINTS)]
    at: XY


class Gone(Seen):
    """Not to be seen on a frame."""

    type: Literal["gone"]
    key: Key
    frame: Index


class Clear(Seen):
    """Nothing said on a frame."""

    type: Literal["clear"]
    key: Key
    frame: Index


class Settings(Seen):
    """How, and on which frames, to track; saturation: of coloured frames, 1 as they were found."""

    type: Literal["settings"]
    quality: Literal["fast", "normal", "best"] | None = None
    saturation: Annotated[float, Field(allow_inf_nan=False, ge=0, le=2)] | None = None
    range: tuple[Index, Index] | None = None


Color = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class ColorStill(Seen):
    """A coloured picture of a frame, in base64 (PNG, JPEG or WebP); it is fitted to the frame."""

    type: Literal["colorStill"]
    frame: Index
    png: Annotated[str, Field(max_length=LONGEST_PNG)]


class Stroke(BaseModel):
    """A line of one colour, or of the eraser (None); radius and points in px of the frame."""

    color: Color | None
    radius: Annotated[float, Field(allow_inf_nan=False, ge=0.5, le=2000)]
    points: Annotated[list[XY], Field(min_length=1, max_length=2000)]


class ColorStrokes(Seen):
    """All strokes of colour on a frame; none takes them away."""

    type: Literal["colorStrokes"]
    frame: Index
    strokes: Annotated[list[Stroke], Field(max_length=500)]


class ColorReplace(Seen):
    """Another colour for every stroke, on every frame, that has one."""

    type: Literal["colorReplace"]
    from_: Color = Field(alias="from")
    to: Color


class ColorClear(Seen):
    """No colours given on a frame."""

    type: Literal["colorClear"]
    frame: Index


Corners = tuple[XY, XY, XY, XY]


class Texture(Seen):
    """A picture in base64, its corners on a frame: from the top left one clockwise."""

    type: Literal["texture"]
    frame: Index
    png: Annotated[str, Field(max_length=LONGEST_PNG)]
    quad: Corners
    name: Name | None = None


class TextureMove(Seen):
    """A placed picture elsewhere, on another frame too."""

    type: Literal["textureMove"]
    id: Id
    frame: Index | None = None
    quad: Corners


class TextureRemove(Seen):
    """One placed picture less."""

    type: Literal["textureRemove"]
    id: Id


Action = Annotated[
    Add
    | Change
    | Remove
    | Merge
    | Mask
    | Point
    | Box
    | Joint
    | Gone
    | Clear
    | Settings
    | ColorStill
    | ColorStrokes
    | ColorReplace
    | ColorClear
    | Texture
    | TextureMove
    | TextureRemove,
    Field(discriminator="type"),
]


class Click(BaseModel):
    """A click or a scribble inside of what is meant, or outside; size: how far to grow from it.

    around: whether the places go round it instead, at least three of them.
    """

    places: Annotated[list[XY], Field(min_length=1, max_length=2000)]
    inside: bool = True
    size: Annotated[float, Field(ge=0, le=1)] = 0.5
    around: bool = False


class Select(BaseModel):
    """Clicks and scribbles in their order: each corrects what those before it have left."""

    frame: Index
    strokes: Annotated[list[Click], Field(min_length=1, max_length=64)]
    base: Annotated[str, Field(min_length=1, max_length=LONGEST_PNG)] | None = None
    """PNG in base64, above 0 where the strokes correct what was selected before."""


class Track(BaseModel):
    """Frames [from, to) to track; by default those of the settings, or all."""

    from_: Index | None = Field(default=None, alias="from")
    to: Index | None = None


class Batch(BaseModel):
    """Other videos to be worked on as this one; a manifest of `chromatrack batch` is written."""

    videos: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=4096)]],
        Field(min_length=1, max_length=1000),
    ]
    format: Literal["csv", "jsonl"] = "csv"


class Export(BaseModel):
    """A format of `chromatrack export`, or one of `export_list.VIDEOS`.

    saturation: of the coloured video; by default that of the settings. existing: whether one of
    this format that is there already is replaced, or kept and the new one written beside it;
    without it nothing is written then. markDoubtful: videos with tracks have what is doubtful
    dashed, with a `?` at its name.
    """

    format: Annotated[str, Field(max_length=40)]
    existing: Literal["replace", "keep"] | None = None
    saturation: Annotated[float, Field(allow_inf_nan=False, ge=0, le=2)] | None = None
    startNumber: Index | None = None
    markDoubtful: bool = True


class Open(BaseModel):
    """A video, or the folder of a project or run, on this machine."""

    path: Annotated[str, Field(min_length=1, max_length=4096)]
