"""What is executed: the text of an attempt's `job.sh`, from a job and its rendered values. Pure text, no I/O."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cc_notebook import template
from cc_notebook.errors import InputError
from cc_notebook.growth import Scope
from cc_notebook.hosts.base import Attempt, job_folder, shown_name
from cc_notebook.loops import rendered
from cc_notebook.model import Job

MAX_TEXT = 130_000  # bytes of one argument or variable; Linux starts no program with more
SETUP = "{{\n{}\n}} || {{ echo \"the host's 'setup' failed\" >&2; exit 126; }}"
CONDA_RUN = ("run", "--no-capture-output", "-n")


@dataclass(frozen=True)
class Surroundings:
    """What an attempt finds on its machine. `folder`: the working directory ('' is the run's own `files` there)."""

    run: str
    folder: str
    python: str
    results: str = ""  # where executed notebooks are shown, if that is on this machine
    setup: str = ""  # sh, before the payload
    shebang: str = ""  # the script's first line without '#!'
    venv_is_folder: bool = True
    values: Mapping[str, object] = field(default_factory=dict)


def attempt_of(job: Job, run: str, number: int) -> Attempt:
    """The name tags of the n-th try: the token is what its processes carry and what a batch system knows it by."""
    folder = job_folder(job.name)
    token = f"cc-{run}-{folder}-{number}."  # the dot ends it: no token is the beginning of another
    wishes = (job.pattern, job.files.out, job.isolated, job.notebook, job.resources)
    return Attempt(job.name, number, token, f"{folder}/{number}", *wishes)


def values_of(job: Job, scope: Scope, outputs: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """What braces may name: attributes, params (a loop's and the job's own first), outputs of jobs as `{job.key}`."""
    attributes = {key: value for key, value in job.model_dump().items() if value is not None} | (job.model_extra or {})
    around = {**scope.params, **scope.item}
    given = {**outputs, **around, "params": around}
    own = {key: rendered(job.name, value, given) for key, value in job.params.items()}
    both = {**around, **own}
    return {**attributes, **outputs, **both, "params": both}


def files(job: Job, attempt: Attempt, around: Surroundings, note: Mapping[str, object]) -> dict[str, str]:
    """The small files of the attempt's folder. Raises InputError for a name in braces that stands for nothing."""
    spec = {"run": around.run, "job": job.name, "attempt": attempt.number, **note, "params": _params(job, around)}
    spec["shown"] = shown_name(job.name)
    if job.notebook:
        spec |= {"kernel": job.kernel, "cell_timeout": job.cell_timeout, "kernel_python": _venv_python(job, around)}
        spec["kernel_gateway"] = job.kernel_gateway
    result = {"spec.json": json.dumps(spec)}
    if job.exec is not None:
        result["exec.sh"] = job.exec + "\n"
    result["job.sh"] = _script(job, attempt, around)
    return result


def serves(job: Job, state: str) -> dict[str, str]:
    """Where a running job of this computer answers HTTP, below the URL of a server with jupyter-server-proxy."""
    return {"serves": f"proxy/{job.port}/"} if job.port and job.kind == "local" and state == "running" else {}


def facts(job: Job, around: Surroundings, item: Mapping[str, object]) -> dict[str, object]:
    """What the job's result depends on beside its script and files: each value by a name that a user understands."""
    names = (name for text in (*job.args, *job.env.values()) for name in template.names(text))
    found = {f"param {name[7:]}": _value(job, f"{{{name}}}", around) for name in names if name.startswith("params.")}
    found |= {f"argument {place}": _value(job, value, around) for place, value in enumerate(job.args, 1)}
    found |= {f"variable {key}": _value(job, value, around) for key, value in job.env.items()}
    found |= {f"param {key}": value for key, value in {**item, **_params(job, around)}.items()}
    found |= {"setup": around.setup} if around.setup else {}
    return {**found, "python": around.python, "venv": job.venv, "kernel": job.kernel}


def _script(job: Job, attempt: Attempt, around: Surroundings) -> str:
    settings = {"CC_RUN": around.run, "CC_JOB": job.name, "CC_ATTEMPT": attempt.token}
    settings |= {"CC_WORKFLOW_DIR": around.folder, "CC_RESULTS_DIR": around.results}
    own = [SETUP.format(around.setup) if around.setup else "  :"]
    own += [f"export {key}={shlex.quote(_text(job, value, around))}" for key, value in job.env.items()]
    lines = [f"# attempt {attempt.number} of a job of run {around.run}, written by cc-notebook; see wrapper.sh"]
    lines += [f"export {key}={shlex.quote(value)}" for key, value in settings.items() if value]
    lines += ["cc_env() {", *own, *activation(job, around), "}  # for the payload alone, not for its wrapper"]
    lines.append(f"CC_TIMEOUT={'' if job.limit is None else f'{job.limit:.15g}'}")
    lines.append(f"CC_MEMORY={'' if job.resources.memory is None else -(-job.resources.memory // 1024)}")
    lines.append('cc_work="$PWD/files"' if job.isolated else "cc_work=")
    lines.append(f"set -- {' '.join(_command(job, around))}")
    lines.append('. "${PWD%/*/*}/wrapper.sh"')
    return "\n".join(lines) + "\n"


def _command(job: Job, around: Surroundings) -> Sequence[str]:
    words = [shlex.quote(_text(job, arg, around)) for arg in job.args]
    if job.exec is not None:
        command = ["sh", '"$PWD/exec.sh"']
    else:
        path = job.script or ""
        script = shlex.quote(path if path.startswith(("/", "./")) else f"./{path}")
        if job.notebook:
            return [shlex.quote(around.python), '"${PWD%/*/*}/warm.py"', "notebook", script]
        if path.endswith(".py"):
            command = ["python" if job.venv else shlex.quote(around.python), script]
        else:
            command = [*(shlex.quote(word) for word in around.shebang.split() or ["sh"]), script]
    if job.venv and not around.venv_is_folder:
        command = ['"${CONDA_EXE:-conda}"', *CONDA_RUN, shlex.quote(job.venv), *command]
    return [*command, *words]


def _venv_python(job: Job, around: Surroundings) -> Sequence[str]:
    """What starts the Python in which a notebook's kernel runs; empty: the one that its kernelspec names."""
    if not job.venv:
        return []
    return ["python"] if around.venv_is_folder else ["conda", *CONDA_RUN, job.venv, "python"]


def _params(job: Job, around: Surroundings) -> dict[str, object]:
    """The job's own params with their values."""
    return {key: _value(job, value, around) for key, value in job.params.items()}


def activation(job: Job, around: Surroundings) -> list[str]:
    """The lines that a job's own environment needs."""
    if not job.venv or not around.venv_is_folder:
        return []
    home = job.venv.startswith("~/")
    path = job.venv[2:] if home else job.venv
    prefix = '"$HOME"/' if home else "" if path.startswith("/") else '"$CC_WORKFLOW_DIR"/'
    return [f"export VIRTUAL_ENV={prefix}{shlex.quote(path)}", 'export PATH="$VIRTUAL_ENV/bin:$PATH"']


def _text(job: Job, value: object, around: Surroundings) -> str:
    text = template.as_text(_value(job, value, around))
    if len(text.encode(errors="replace")) > MAX_TEXT:
        raise InputError(
            f"job '{job.name}': {value!r} has {len(text):,} characters, too many: hand it over by 'params:'"
        )
    return text


def _value(job: Job, value: object, around: Surroundings) -> object:
    return rendered(job.name, value, around.values)
