"""What comes in as JSON, and is checked by these models; OpenAPI is made from them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RunState = Literal["running", "paused", "cancelling", "done", "failed", "cancelled"]
Wait = Annotated[float, Field(ge=0, le=60, description="How many seconds the answer may wait for the run.")]
Count = Annotated[int, Field(ge=0)]
Past = Count | None  # an event; none: now
Byte = Annotated[int, Field(ge=-(1 << 62), lt=1 << 62)]  # of a file; negative: from its end
Bytes = Annotated[int, Field(ge=0, le=1 << 24)]
Limit = Annotated[int, Field(ge=1, le=1000)]
Text = dict[Literal["workflow"], dict[str, Any]]  # a workflow as in its file
File = dict[Literal["path", "template"], str]  # one that is there, below the server's root folder, or one to begin with
Sequence = dict[Literal["dependency"], str | list[str]]  # such as `a, b, c`
Chosen = dict[Literal["jobs"], list[str]] | None  # none: all
Nothing = Annotated[dict[str, Any], Field(max_length=0)] | None


class In(BaseModel):
    """What comes in: nothing is converted, and what is not known is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class NewWorkflow(In):
    """A workflow by what stands below `workflow:` in a file."""

    name: str
    workflow: dict[str, Any]


class NewJob(In, extra="allow"):
    """A job that joins a run: its name, its attributes, and the jobs of the run after and before which it comes."""

    name: str
    after: str | list[str] = []
    before: str | list[str] = []


class Start(In):
    """What is to run, and how: the options of `jupyter cc run`."""

    workflow: str
    params: dict[str, Any] = {}
    max_parallel: int | None = Field(None, ge=1)
    sequential: bool = False
    from_: str | None = Field(None, alias="from")
    only: list[str] = []
    new: bool = False
    reuse: bool = False
    dry_run: bool = False
