"""The house keeps its shape: floors that import only downwards, small modules, a budget of lines, and a true README."""

import ast
import inspect
import io
import re
import shlex
import statistics
import subprocess
import sys
import tokenize
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROGRAM, EXTENSION = ROOT / "cc_notebook", ROOT / "jupyter_extension" / "cc_jupyter"

# Code lines of cc_notebook by room, without blank lines, comments and docstrings. No room borrows from another.
ROOMS = {
    "other machines": (
        1235,
        "hosts.remote hosts.watched hosts.script hosts.answer hosts.transport hosts.travel hosts.moving hosts.gate "
        "hosts.mirror hosts.seen hosts.check hosts.known hosts.parts attach cli.hosts queues transports",
    ),
    "conformance suite": (263, "conformance"),
    "the core": (3198, "every module that no other room has"),
    # 130 of the faces are for gateway, since jupyter-server's own client burns a processor and misses a kernel's death,
    # and 130 for warm: forks in the place of starts save each notebook and its kernel a second and a half
    "faces": (2189, "workflow job functions notebook warm gateway labels views cli templates keeping draft starting"),
    "loops and conditions": (553, "growth loops expressions references reuse adding"),
    "widget and client": (788, "widget magics client serving showing"),
}
EXTENSION_BUDGET = 1001
OTHER_BUDGET = 1865  # our own JavaScript, shell and YAML, without blank lines and comments
MODULE, FUNCTION, MEDIAN = 200, 60, 10  # code lines; lines; lines

# From the ground up. A name stands for the module and for everything in the package of that name.
FLOORS = {
    "inside": "report figure6 notebook warm gateway templates",  # each works alone, copied beside a job or a workflow
    "pure": "errors units fields model spec references yamltext graph growth loops expressions control adding state "
    "protocol template options labels freshness",
    "edges": "hosts transports queues payload journal store files",
    "engine": "engine runs showing process launching reuse keeping attach",
    "faces": "__init__ __main__ workflow job functions save draft starting views cli client serving widget magics",
    "proof": "conformance",  # tests that anybody may run; nothing of the program imports it
}
PURE_LIBRARIES = {"pydantic", "yaml", "simpleeval"}
NOT_PURE = """
    os sys io pathlib shutil tempfile glob socket ssl http urllib subprocess signal select selectors threading
    multiprocessing concurrent asyncio time fcntl resource secrets random getpass platform logging
"""
NOT_PURE_CALLS = {"open", "input", "print", "now", "utcnow", "today", "read_text", "write_text", "read_bytes"}

# Imports that go up, each with its reason: (who, whom).
UPWARD: dict[tuple[str, str], str] = {
    ("report", "workflow"): "the copy beside a job finds the installed package, if there is one, when asked for more",
    ("figure6", "__init__"): "beside a job that is the copy of report, of which it hands on `progress`",
    ("runs", "views.explain"): "Run.explain is one line over the view, imported when it is called",
    ("runs", "views.results"): "and so is Run.results",
    ("showing", "widget.view"): "what is the last line of a cell shows itself, by what is imported then",
    ("runs", "views.report"): "Run.report is one line over the page, imported when it is called",
}
# Modules that are too long, each with its present size and the reason. Lower the number.
LONG: dict[str, tuple[int, str]] = {
    "engine": (340, "one class that owns a run's loop; what it decides is in control and loops already"),
    "runs": (238, "Run is what every face calls: nineteen short methods"),
    "spec": (231, "every error of a workflow file, with its place"),
}


@cache
def modules():
    """Every module of the program by its name below the package, parsed."""
    return {name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PROGRAM.rglob("*.py"))}


def name(path):
    parts = path.relative_to(PROGRAM).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def everything():
    """Every Python file of the program and of the extension, parsed."""
    return {
        path: ast.parse(path.read_text(encoding="utf-8")) for top in (PROGRAM, EXTENSION) for path in top.rglob("*.py")
    }


def floor(module):
    """The number of the floor on which a module stands; None if nobody has said."""
    head = module.split(".")[0]
    return next((number for number, names in enumerate(FLOORS.values()) if head in names.split()), None)


def imports(tree):
    """Every module that is imported anywhere in a module, also inside functions and for types only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: write the whole name of what is imported"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = {name for name in whole if name.removeprefix("cc_notebook.") in modules()}
            yield from submodules if whole == submodules else {*submodules, node.module}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            yield from (word.value for word in node.args if isinstance(word, ast.Constant))


def own_imports(module):
    """The modules of this program that a module imports, by their names below the package."""
    for imported in imports(modules()[module]):
        if imported == "cc_notebook" or imported.startswith("cc_notebook."):
            yield imported.removeprefix("cc_notebook").removeprefix(".") or "__init__"


# ---- floors ---------------------------------------------------------------------------------------------------------


def test_every_module_stands_on_a_floor():
    """A new module is given its place in FLOORS before anything imports it."""
    assert [module for module in modules() if floor(module) is None] == []


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_down(module):
    """A module imports its own floor or those below; what goes up is listed with a reason."""
    up = [other for other in own_imports(module) if (floor(other) or 0) > (floor(module) or 0)]
    assert [other for other in up if (module, other) not in UPWARD] == []


def test_no_exception_is_left_over():
    """An exception that is no longer needed is taken off the list."""
    used = {(module, other) for module in modules() for other in own_imports(module)}
    assert [pair for pair in UPWARD if pair not in used] == []


@pytest.mark.parametrize("module", [module for module in sorted(modules()) if floor(module) == 1])
def test_the_pure_floor_touches_nothing(module):
    """No files, clock, threads, processes, network or environment where things are decided."""
    for imported in imports(modules()[module]):
        head = imported.split(".")[0]
        assert head == "cc_notebook" or head in PURE_LIBRARIES or head in sys.stdlib_module_names, imported
        assert head not in NOT_PURE.split(), imported
    called = {getattr(node.func, "id", getattr(node.func, "attr", "")) for node in calls(modules()[module])}
    assert not called & NOT_PURE_CALLS


def test_pytest_is_for_the_suite_alone():
    """The program is used where pytest is not installed: only the tests that it ships import that."""
    users = {
        module for module in modules() if any(found.split(".")[0] == "pytest" for found in imports(modules()[module]))
    }
    assert users <= {module for module in modules() if module.split(".")[0] == "conformance"}


def head(module):
    return module.split(".")[0]


def test_the_module_that_jobs_import_needs_nothing():
    """`report.py` is copied to machines where neither this program nor any library is installed."""
    assert {found.split(".")[0] for found in imports(modules()["report"])} - {"cc_notebook"} <= sys.stdlib_module_names


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


# ---- size -----------------------------------------------------------------------------------------------------------


def code_lines(path):
    """How many lines of a Python file hold code: not blank, no comment, no docstring."""
    text = path.read_text(encoding="utf-8")
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in quiet:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node
        ):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def functions():
    """Every function of the program and the extension, with its length in lines."""
    for path, tree in everything().items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def room(module):
    """The room that has a module."""
    for title, (_, names) in ROOMS.items():
        if any(module == other or module.startswith(f"{other}.") for other in names.split()):
            return title
    return "the core"


def test_the_program_is_within_its_budget():
    """The article's promise: a small program, whose core an undergraduate can read in an evening."""
    sizes = Counter()
    for path in PROGRAM.rglob("*.py"):
        sizes[room(name(path))] += code_lines(path)
    assert {title: size for title, size in sizes.items() if size > ROOMS[title][0]} == {}
    assert sum(map(code_lines, EXTENSION.rglob("*.py"))) <= EXTENSION_BUDGET
    kinds = {".sh", ".js", ".yaml", ".yml"}
    others = [path for top in (PROGRAM, EXTENSION) for path in top.rglob("*") if path.suffix in kinds]
    comment = re.compile(r"//|/\*|#(?![\w!])")  # blank lines and comments count here as little as in Python
    lines = [line.rstrip() for path in others for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if len(line) > 125] == []
    lines = [line.strip() for line in lines]
    assert sum(1 for line in lines if line and not comment.match(line)) <= OTHER_BUDGET


def test_modules_are_small():
    """One module, one idea. A longer one is listed with a reason, may only shrink, and leaves the list when it can."""
    sizes = {name(path): code_lines(path) for path in PROGRAM.rglob("*.py")}
    long = {module: size for module, size in sizes.items() if size > MODULE}
    assert [(module, size) for module, size in long.items() if size > LONG.get(module, (MODULE,))[0]] == []
    assert [module for module in LONG if module not in long] == []


def test_functions_are_small():
    """A function does one thing."""
    assert [(place, length) for place, length in functions() if length > FUNCTION] == []
    assert statistics.median(length for _, length in functions()) < MEDIAN


def test_every_module_says_what_it_is():
    """Each module begins with a docstring; only an empty `__init__.py` of a folder needs none."""
    assert [str(path) for path, tree in everything().items() if tree.body and not ast.get_docstring(tree)] == []


# ---- what is never written ------------------------------------------------------------------------------------------


def test_nothing_dangerous_is_called():
    """No shell strings, no evaluation of text, no archive that writes where it likes, no unknown host key accepted."""
    found = [f"{path.relative_to(ROOT)}:{node.lineno}" for path, tree in everything().items() for node in dangers(tree)]
    assert found == []


def dangers(tree):
    for node in ast.walk(tree):
        word = getattr(node, "id", getattr(node, "attr", ""))
        if word in ("AutoAddPolicy", "WarningPolicy", "extractall"):
            yield node
        if isinstance(node, ast.Call):
            shell = [key for key in node.keywords if key.arg == "shell" and getattr(key.value, "value", True)]
            evaluation = isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")
            if shell or evaluation or ast.unparse(node.func) in ("os.system", "os.popen"):
                yield node


# ---- the README -----------------------------------------------------------------------------------------------------

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"((?:^<!--.*-->\s*\n)+)```(\w+)\n((?s:.*?))^```", re.MULTILINE)


def examples(wanted):
    """The README's examples in a language, marked `<!-- test -->`: what the comments above them say, and the text.

    `<!-- file: NAME -->` above a workflow names its file, `<!-- exit: N -->` the last command's exit code.
    """
    for comments, language, text in EXAMPLE.findall(README):
        told = dict(re.findall(r"<!--\s*(\w+)(?::\s*(\S+))?\s*-->", comments))
        if "test" in told and language == wanted:
            yield told, text


@pytest.fixture
def place(folder):
    """A folder with the README's workflow files and a script for each of their jobs."""
    for told, text in examples("yaml"):
        if "file" in told:
            write_workflow(folder / told["file"], text)
    return folder


def write_workflow(path, text):
    path.write_text(text, encoding="utf-8")
    for job, node in (yaml.safe_load(text)["workflow"].get("nodes") or {}).items():
        node = node or {}
        script = path.parent / (node.get("script") or f"{job}.sh")
        if not {"exec", "command"} & set(node) and job not in ("start", "end") and not script.exists():
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text("", encoding="utf-8")


def test_readme_has_examples_of_every_face():
    """The README shows, and these tests run, at least one workflow file, Python program and command."""
    assert [language for language in ("yaml", "python", "console") if not list(examples(language))] == []


@pytest.mark.parametrize("text", [text for _, text in examples("yaml")])
def test_readme_workflows_are_valid(place, text):
    """Each workflow of the README is read without an error."""
    from cc_notebook import Workflow

    write_workflow(place / "this-one.yaml", text)
    assert Workflow("this-one.yaml").model().jobs


@pytest.mark.parametrize("text", [text for _, text in examples("python")])
def test_readme_python_runs(place, text):
    """Each Python example of the README runs as it stands, where the README's workflow files are."""
    (place / "example.py").write_text(text, encoding="utf-8")
    words = [sys.executable, "example.py"]
    ran = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=90)
    assert ran.returncode == 0, ran.stderr


def test_readme_commands_run(place):
    """The README's `jupyter cc` commands, one after the other, end with the exit code that it tells."""
    for told, text in examples("console"):
        commands = re.findall(r"^\$ (jupyter cc .*)$", text.replace("\\\n", ""), re.MULTILINE)
        for command in commands:
            words = shlex.split(command, comments=True)
            ran = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=90)
            expected = int(told.get("exit") or 0) if command == commands[-1] else 0
            assert ran.returncode == expected, f"{command}\n{ran.stdout}{ran.stderr}"


def test_readme_documents_every_command():
    """Each command is shown as the user types it."""
    from cc_notebook.cli.commands import main

    assert [word for word in main.commands if not re.search(rf"jupyter cc {word}\b", README)] == []


def options(command, name):
    """Every option of a command and of those below it, with the command's name."""
    for param in command.params:
        yield from (
            (name, word) for word in param.opts if word.startswith("--") and word not in ("--help", "--version")
        )
    for word, below in getattr(command, "commands", {}).items():
        yield from options(below, f"{name} {word}")


def test_readme_documents_every_option():
    """Each option of the command line and each parameter of `Workflow.run` is named."""
    from cc_notebook import Workflow
    from cc_notebook.cli.commands import main

    assert [found for found in options(main, "cc") if not re.search(rf"{found[1]}\b", README)] == []
    parameters = [word for word in inspect.signature(Workflow.run).parameters if word != "self"]
    assert [word for word in parameters if not re.search(rf"`[^`\n]*\b{word}\b[^`\n]*`", README)] == []


@pytest.mark.parametrize("kind", ["Workflow", "Job", "Run", "RESTWorkflow"])
def test_readme_documents_every_method(kind):
    """Each public method and property of what a program uses stands in the list that begins "`Run` has"."""
    from cc_notebook import client, workflow

    told = re.search(rf"`{kind}` has\s(.*?)(?:\n\n|` has\s)", README, re.DOTALL)[1]
    kinds = (getattr(workflow, kind, None) or getattr(client, kind)).__mro__
    methods = [word for own in kinds if own.__name__ in (kind, "Draft") for word in vars(own) if word[0] != "_"]
    assert methods and [word for word in methods if not re.search(rf"`{word}\b", told)] == []


def test_readme_documents_every_kind_and_attribute():
    """Each kind and each attribute of a job stands in the README as code."""
    from cc_notebook import model

    assert [
        word for word in (*model.KINDS, *model.Job.model_fields) if not re.search(rf"`{word}\b[^`\n]*`", README)
    ] == []
