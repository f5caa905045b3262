"""The workflow as a value: what a file may say (`File`), what it means (`Workflow`). No YAML, no files, no running."""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cc_notebook import fields

Kind = Literal["local", "ssh", "slurm", "lsf", "wsl"]
KindWord = Literal[Kind, fields.PayloadKind]
Trigger = Literal["all_success", "all_done", "one_failed", "none_failed", "always"]
Ending = Literal["failed", "exit", "signal", "timeout", "node_fail", "lost", "restarted", "start"]
KINDS: tuple[str, ...] = get_args(Kind)
MARKERS = ("start", "end")  # need not be declared; without a script they are instant


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Resources(_Part):
    """What a job asks of its machine. `time` in seconds, `memory` in bytes; other keys go to the batch system."""

    model_config = ConfigDict(frozen=True, extra="allow")
    cpus: int = Field(1, ge=1)
    gpus: int = Field(0, ge=0)
    memory: fields.Memory | None = None
    time: fields.Time | None = None


class Retry(_Part):
    """How often to try again (`max`), after which endings (`on`; empty: any failure), and the wait before it."""

    max: int = Field(0, ge=0, le=1000)
    on: tuple[Ending | int, ...] = ()
    delay: fields.Delay = 0.0


class Files(_Part):
    """Files that travel: `in` before the start, `out` after the end; paths relative to the working directory."""

    in_: tuple[str, ...] = Field((), alias="in")
    out: tuple[str, ...] = ()


class Repeat(_Part):
    """A job again and again: until an expression is true, but at most `max` times."""

    until: str | None = None
    max: int = Field(100, ge=1, le=100_000)


def _max(value: object) -> object:
    return {"max": value} if isinstance(value, int) else value


def _list(value: object) -> object:
    if not isinstance(value, (list, str)):
        raise ValueError(
            "this is a list, a name in braces such as '{params.sizes}', or a file pattern such as 'in/*.csv'"
        )
    return value


LoopValues = Annotated[Any, BeforeValidator(_list, json_schema_input_type=list[Any] | str)]


def _empty(value: object) -> object:
    return {} if value is None else value


def _sequences(value: object) -> object:
    """Dependencies as a list: of one text, of nothing, or of the edges that cloudmesh-cc saves as a mapping."""
    if isinstance(value, dict):
        return [
            [e.get("source", ""), e.get("destination", "")] if isinstance(e, dict) else None for e in value.values()
        ]
    listed = [value] if isinstance(value, str) else [] if value is None else value
    texts = [item for item in listed if isinstance(item, str)] if isinstance(listed, list) else []
    ranges = re.findall(r"(\d{1,9})-(\d{1,9})[\d,-]*\]", " ".join(text for text in texts if "[" in text))
    if sum(int(high) - int(low) for low, high in ranges) > 10 * fields.MAX_RANGE:
        raise ValueError(f"the ranges stand for more than {10 * fields.MAX_RANGE:,} names")
    return listed


class Job(BaseModel):
    """One node of a workflow. Attributes that it does not know are kept and usable as `{attribute}`."""

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="constants")
    name: str = ""
    kind: Annotated[Kind, BeforeValidator(fields.payload_kind, json_schema_input_type=KindWord)] = "local"
    host: str = Field("", pattern="^($|[^-])")
    user: str = Field("", pattern="^($|[^-])")
    script: str | None = None
    exec: str | None = Field(None, json_schema_extra={"contentMediaType": "text/x-shellscript"})
    args: fields.Words = ()
    env: dict[Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")], fields.Scalar] = {}
    params: dict[str, Any] = {}
    venv: str | None = None
    kernel: str | None = None
    cell_timeout: fields.Time | None = None
    kernel_gateway: str | None = Field(None, pattern="^https?://")
    label: str | None = None
    shape: str | None = None
    style: str | None = None
    status: str | int | None = None
    progress: Annotated[
        Annotated[int, Field(ge=0, le=100)] | str | None, BeforeValidator(fields.percent_or_pattern)
    ] = None
    resources: Resources = Resources()
    timeout: fields.Time | None = None
    retry: Annotated[Retry, BeforeValidator(_max, json_schema_input_type=Retry | int)] = Retry()
    after: fields.Names = ()
    trigger: Trigger = "all_success"
    when: str | None = None
    foreach: dict[fields.LoopName, LoopValues] | None = None
    exclude: tuple[dict[fields.LoopName, Any], ...] = ()
    include: tuple[dict[fields.LoopName, Any], ...] = ()
    repeat: Annotated[Repeat, BeforeValidator(_max, json_schema_input_type=Repeat | int)] | None = None
    workflow: str | None = None
    port: int | None = Field(None, ge=1, le=65535)
    isolated: bool = False
    files: Files = Files()

    @model_validator(mode="before")
    @classmethod
    def _other_words(cls, value: Any) -> Any:
        """Other words for `exec`, `params` and `foreach`; an attribute without a value is not there."""
        if not isinstance(value, dict):
            return value
        result = {key: item for key, item in value.items() if item is not None}
        for other, word in (("command", "exec"), ("parameters", "params"), ("matrix", "foreach")):
            if other in result:
                if word in result:
                    raise ValueError(f"{other} and {word} are two words for the same thing: keep one")
                result[word] = result.pop(other)
        if isinstance(result.get("status"), int):  # Table 2 of the article
            result["progress"] = result.pop("status")
        if "exec" in result and result.get("script") == f"{result.get('name')}.sh":
            del result["script"]  # cloudmesh-cc fills that in when it saves
        if len(both := [word for word in ("script", "exec", "workflow") if word in result]) > 1:
            raise ValueError(f"{' and '.join(both)} cannot both be given: a job runs one of them")
        return result

    @property
    def notebook(self) -> bool:
        """True if the job is a notebook."""
        return bool(self.script and self.script.endswith(".ipynb"))

    @property
    def instant(self) -> bool:
        """A marker such as `start` and `end`: nothing is executed."""
        return self.script is None and self.exec is None and self.workflow is None

    @property
    def group(self) -> bool:
        """True if it stands for other jobs, which it gets as members when its turn comes."""
        return bool(self.foreach or self.repeat or self.workflow)

    @property
    def limit(self) -> float | None:
        """The time limit in seconds: the smaller of `timeout` and `resources.time`."""
        return min((t for t in (self.timeout, self.resources.time) if t is not None), default=None)

    @property
    def pattern(self) -> str | None:
        """The pattern by which a tool's own lines report progress, if one is declared."""
        return self.progress if isinstance(self.progress, str) else None


class Host(_Part):
    """A machine of the `hosts:` section; every field is optional, an ssh alias works without any."""

    address: str = Field("", pattern="^($|[^-])")
    user: str = Field("", pattern="^($|[^-])")
    port: int | None = Field(None, ge=1, le=65535)
    workdir: str = "~/.cc-notebook"
    python: str = "python3"
    venv: str | None = None  # of jobs that name none
    setup: str = ""  # sh, before each job there
    shared: bool = False  # the workflow's folder is the same one there
    max_parallel: int | None = Field(None, ge=1)
    cpus: int | None = Field(None, ge=1)  # what it has, where it cannot say so itself
    gpus: int | None = Field(None, ge=0)
    memory: fields.Memory | None = None
    ssh_config: str | None = None
    transport: str = "openssh"
    queue: str = "direct"
    min_poll: fields.Delay = 0.0
    before: fields.Words = ()  # commands of this computer that open and close the way there
    after: fields.Words = ()


def _or_nothing(kind: Any) -> Any:
    """`name:` with nothing below it is an empty mapping. (mypy takes no call as a type, so its uses are marked.)"""
    return Annotated[kind, BeforeValidator(_empty, json_schema_input_type=kind | None)]


class Flow(BaseModel):
    """What stands below `workflow:`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    nodes: dict[fields.Name, _or_nothing(Job)] = Field(min_length=1)  # type: ignore[valid-type]
    dependencies: Annotated[
        tuple[fields.Sequence, ...],
        BeforeValidator(_sequences, json_schema_input_type=list[str | list[str]] | str | dict | None),
    ] = ()
    params: _or_nothing(dict[str, Any]) = Field(  # type: ignore[valid-type]
        {}, validation_alias=AliasChoices("params", "parameters")
    )
    hosts: _or_nothing(dict[str, _or_nothing(Host)]) = {}  # type: ignore[valid-type]
    scheduler: str = "parallel"
    max_parallel: int | None = Field(None, ge=1)


class File(BaseModel):
    """A whole workflow file; other keys at its top (cloudmesh-cc's `colors`) are ignored."""

    workflow: Flow


class Workflow(BaseModel):
    """A valid workflow: jobs by name in file order, and the edges (parent, child) without repetition."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")
    name: str = ""
    params: dict[str, Any] = {}
    hosts: dict[str, Host] = {}
    scheduler: str = "parallel"
    max_parallel: int | None = None
    jobs: dict[str, Job] = {}
    edges: tuple[tuple[str, str], ...] = ()
    subs: dict[str, "Workflow"] = {}  # by path: the files that `workflow:` attributes name


class RunSpec(BaseModel):
    """`run.json`: what a run executes, fixed when it is created; enough to rebuild everything with the journal."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")
    run: str
    workflow: Workflow
    path: str  # the workflow file, "" if there is none
    folder: str
    source: str  # the hash by which a second start finds the same work
    order: tuple[str, ...] = ()
    taken: dict[str, dict[str, Any]] = {}  # jobs that are done already, with their outputs
    reuse: tuple[str, ...] = ()  # earlier runs, newest first, whose results may be taken over
    max_parallel: int | None = None
    machine: str = ""
    store: str = ""  # where it was begun
    python: str = ""
    created: str = ""
