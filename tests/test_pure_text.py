"""Braces in texts, the lines by which a job reports, and a tool's own lines: text in, values out."""

import json
import keyword
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cc_notebook import protocol, template
from cc_notebook import report as reporting
from cc_notebook.template import UnknownName

# ---- braces --------------------------------------------------------------------------------------------------------

VALUES = {
    "name": "train",
    "size": 3,
    "tolerance": 0.01,
    "fast": True,
    "sizes": [1, 2],
    "params": {"size": 3, "deep": {"er": "x"}},
    "a.b": {"rows": 7},
    "a": {"rows": 1, "b": {"rows": 8}},
    "fetch-data": {"rows": 9},
}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{name}", "train"),
        ("{ name }", "train"),
        ("--size={size}", "--size=3"),
        ("{name}-{size}", "train-3"),
        ("{params.size}", 3),
        ("{params.deep.er}", "x"),
        ("{fetch-data.rows}", 9),
        ("{{name}}", "{name}"),
        ("{{{name}}}", "{train}"),
        ("{{", "{"),
        ("}}", "}"),
        ("{{}}", "{}"),
        ('{{"k": {size}}}', '{"k": 3}'),
        ("a } b", "a } b"),
        ("a { b", "a { b"),
        ("{name", "{name"),
        ("name}", "name}"),
        ("{size}{size}", "33"),
    ],
)
def test_braces(text, result):
    """A name in braces is replaced, doubled braces are braces, and a brace that stands alone stays."""
    assert template.render(text, VALUES) == result


@pytest.mark.parametrize("name", ["size", "tolerance", "fast", "sizes", "params"])
def test_a_single_name_keeps_its_type(name):
    """A text that is nothing but one name gives the value itself, not its text."""
    assert template.render(f"{{{name}}}", VALUES) is VALUES[name]


def test_values_inside_a_text():
    """Within a longer text truth values are written as in YAML, and lists and mappings as JSON."""
    assert template.render("{fast} {sizes} {params}", VALUES) == 'true [1, 2] {"size": 3, "deep": {"er": "x"}}'


@pytest.mark.parametrize("value", [None, 3, 0.5, True, ["{name}"], {"k": "{name}"}])
def test_what_is_no_text_stays(value):
    """Only texts are templates; numbers, lists and mappings pass as they are."""
    assert template.render(value, VALUES) is value


def test_the_longest_name_wins():
    """A job called `a.b` is not mistaken for the output `b` of job `a`."""
    assert template.render("{a.b.rows} {a.rows}", VALUES) == "7 1"


@pytest.mark.parametrize(
    "name",
    [
        "name.__class__",
        "name.__class__.__mro__",
        "name.upper",
        "size.real",
        "params.__class__",
        "params.keys",
        "params.size.real",
        "params.deep.er.upper",
        "sizes.0",
        "sizes[0]",
        "name!r",
        "name:>9",
        "size:04d",
        "__builtins__",
        "self",
        "",
        ".",
        "params.",
        ".size",
        "params..size",
        "0",
        "nothing",
        "Name",
    ],
)
def test_no_attribute_is_ever_reached(name):
    """What is no key stands for nothing: attributes, indices, formats and conversions cannot be reached."""
    for text in (f"{{{name}}}", f"x {{{name}}} y"):
        with pytest.raises(UnknownName):
            template.render(text, VALUES)


@pytest.mark.parametrize("name", ["nothing", "params.rows", "params.deep.er.x", "a.b.c"])
def test_an_unknown_name_is_told_whole(name):
    """The error carries the name as it was typed, so that a message can show it."""
    with pytest.raises(UnknownName) as caught:
        template.render(f"--size={{{name}}}", VALUES)
    assert caught.value.args[0] == name


class Spy(dict):
    """A mapping that tells on whoever looks at its attributes by name."""

    secret = "s3cret"


@given(st.text(alphabet="ab._{}[]!:0 ", max_size=12))
def test_any_text_is_rendered_or_names_what_is_unknown(text):
    """Whatever stands in a text, the answer is a value or UnknownName, and never an attribute of an object."""
    values = {"a": Spy(b=1), "b": Spy(a=Spy(b=2))}
    try:
        result = template.render(text, values)
    except UnknownName as error:
        result = error.args[0]
    assert "s3cret" not in str(result)


@given(st.text(max_size=30))
def test_doubled_braces_give_the_text_itself(text):
    """Any text whose braces are doubled renders to the text."""
    assert template.render(text.replace("{", "{{").replace("}", "}}"), {}) == text


def test_the_names_of_a_text():
    """The names are listed without rendering; doubled braces name nothing."""
    assert list(template.names("{a} {{b}} { c.d } {a}")) == ["a", "c.d", "a"]
    assert list(template.names(5)) == []


def test_long_names_do_not_recurse():
    """A name of ten thousand dots is unknown, not a crash."""
    with pytest.raises(UnknownName):
        template.render("{" + "a." * 10_000 + "}", {"a": {"a": 1}})


# ---- protocol lines ------------------------------------------------------------------------------------------------


def read(text, pattern=None):
    """What a log of this text (or these bytes) reports."""
    data = text if isinstance(text, bytes) else text.encode()
    lines, used = protocol.pick(data, pattern)
    assert used <= len(data)
    return protocol.report(lines, pattern)


def test_the_article_s_lines():
    """The lines that the article prints are read; the last value of each key counts."""
    log = "# cloudmesh status=running progress=1 pid=$\nhello\n# cloudmesh status=done progress=100 pid=77 rows=5\n"
    assert read(log) == protocol.Report(100, {"rows": 5})


@pytest.mark.parametrize(
    ("text", "progress"),
    [
        ("0", 0),
        ("1", 1),
        ("50", 50),
        ("50.9", 50),
        ("100", 100),
        ("100.0", 100),
        ("101", 100),
        ("1e9", 100),
        ("-5", 0),
        ("-0.5", 0),
        ("abc", None),
        ("", None),
        ("50%", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e999", None),
        ("0x10", None),
        ("--5", None),
        ("9" * 4000, None),
    ],
)
def test_odd_progress(text, progress):
    """Progress outside 0 to 100 is clipped; what is no finite number is not a report."""
    assert protocol.percent(text) == progress
    assert read(f"# cloudmesh status=running progress={text}\n").progress == progress
    assert read(f"# cloudmesh progress=7\n# cloudmesh progress={text}\n").progress == (
        7 if progress is None else progress
    )


@pytest.mark.parametrize(
    "line",
    [
        "echo '# cloudmesh progress=100'",
        " # cloudmesh progress=100",
        "\t# cloudmesh progress=100",
        "## cloudmesh progress=100",
        "#cloudmesh progress=100",
        "# Cloudmesh progress=100",
        "# cloudmeshprogress=100",
        "progress=100",
        "x" * 5000 + "# cloudmesh progress=100",
        "50 %\r# cloudmesh progress=100",
    ],
)
def test_a_line_that_only_contains_the_mark_is_ignored(line):
    """A report begins at the start of its line: a program that prints its source does not complete its job."""
    assert read(f"{line} rows=1\n") == protocol.Report()
    assert read(f"# cloudmesh progress=5\n{line}\n").progress == 5


def test_a_long_line_is_not_cut_into_a_report():
    """The mark in the middle of a line is ignored too where the line arrives in pieces."""
    log = b"x" * 10_000 + b"# cloudmesh progress=100\n"
    first, used = protocol.pick(log[:10_000])
    assert first == []
    lines, _ = protocol.pick(log[used:])
    assert protocol.report(lines).progress is None


@pytest.mark.parametrize("size", [10_000_000])
def test_a_line_of_ten_megabytes(size):
    """A huge line, finished or not, is passed over in one step and its beginning alone is looked at."""
    found, used = protocol.pick(b"x" * size)
    assert found == [] and size - 4096 <= used <= size
    lines, used = protocol.pick(b"# cloudmesh progress=30 text=" + b"x" * size + b"\n# cloudmesh progress=31\n")
    assert used == size + len("# cloudmesh progress=30 text=\n# cloudmesh progress=31\n")
    assert protocol.report(lines).progress == 31 and max(map(len, lines)) <= 4096


def test_an_unfinished_line_waits():
    """A line counts only with its newline; what is used up is told in bytes."""
    log = b"# cloudmesh progress=5\n# cloudmesh progress=5"
    assert protocol.pick(log) == (["# cloudmesh progress=5"], 23)
    assert protocol.pick(log[23:]) == ([], 0)
    assert protocol.pick(b"") == ([], 0)


def test_nul_and_bytes_that_are_no_text():
    """NUL bytes and bad UTF-8 harm only the word in which they stand."""
    log = b"\x00\x00\xff\n# cloudmesh progress=20 a=\xff\xfe b=2\x00 \x00=1 c=3\n\x00# cloudmesh progress=90\n"
    found = read(log)
    assert found.progress == 20 and found.outputs["c"] == 3 and "a" in found.outputs


def test_windows_line_ends():
    """A carriage return before the newline belongs to no value."""
    assert read("# cloudmesh status=running progress=40 rows=5\r\n") == protocol.Report(40, {"rows": 5})


@pytest.mark.parametrize(
    ("words", "outputs"),
    [
        ("rows=7", {"rows": 7}),
        ("error=0.5", {"error": 0.5}),
        ('name="two\\u0020words"', {"name": "two words"}),
        ("list=[1,2]", {"list": [1, 2]}),
        ("ok=true", {"ok": True}),
        ("none=null", {"none": None}),
        ("text=hello", {"text": "hello"}),
        ("path=/tmp/a=b", {"path": "/tmp/a=b"}),
        ("empty=", {"empty": ""}),
        ("status=x pid=3 progress=4", {}),
        ("=1 a-b=2 1a=3 a.b=4 word a==5", {"a": "=5"}),
        ("größe=3", {"größe": 3}),
    ],
)
def test_outputs(words, outputs):
    """Further `key=value` words are outputs: JSON where it is JSON, else text; other words are passed over."""
    assert read(f"# cloudmesh status=running {words}\n").outputs == outputs


HARMFUL = {
    "a lone surrogate": r'"\ud800"',
    "a lone surrogate in a list": r'["\udfff"]',
    "a lone surrogate as a key": r'{"\ud800":1}',
    "deep brackets": "[" * 4000,
    "deep braces": '{"a":' * 800,
    "balanced depth": "[" * 1900 + "]" * 1900,
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "too large": "1e999",
    "NaN in a list": "[1,NaN]",
    "huge integer": "9" * 4000,
    "open quote": '"abc',
    "nul": r'"\u0000"',
    "control codes": r'"\u001b[2J"',
}


@pytest.mark.parametrize("case", HARMFUL)
def test_no_output_breaks_what_keeps_it(case):
    """Whatever a job prints as an output is a value that can be written as strict JSON in UTF-8 and read back."""
    found = read(f"# cloudmesh progress=3 x={HARMFUL[case]} y=1\n")
    assert found.progress == 3 and found.outputs["y"] == 1
    line = json.dumps(found.outputs, allow_nan=False, ensure_ascii=False).encode()
    assert json.loads(line) == found.outputs


def test_outputs_are_bounded():
    """A job that reports without end keeps at most a thousand keys, and old keys can still change."""
    log = "".join(f"# cloudmesh k{n}={n}\n" for n in range(3000)) + "# cloudmesh k0=new\n"
    found = read(log).outputs
    assert len(found) == 1000 and found["k0"] == "new"


@settings(max_examples=300)
@given(st.binary(max_size=80), st.sampled_from([None, "Epoch {n}/{total}", "{n}%"]))
@example(b"# cloudmesh progress=\xff\n", None)
def test_any_bytes_are_read(data, pattern):
    """Whatever bytes a log holds, what is read has progress of 0 to 100 or none, and outputs that JSON can hold."""
    for log in (data, b"# cloudmesh " + data + b"\n", b"Epoch " + data + b"\n"):
        found = read(log, pattern)
        assert found.progress is None or 0 <= found.progress <= 100
        json.dumps(found.outputs, allow_nan=False, ensure_ascii=False).encode()


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([b"# cloudmesh progress=%d\n" % n for n in range(9)] + [b"x\n", b"\n"])),
    st.integers(1, 40),
)
def test_pieces_of_any_size_give_the_same(lines, size):
    """A log that is read in pieces reports the same as one that is read at once."""
    log, offset, found = b"".join(lines), 0, []
    for end in [*range(size, len(log), size), len(log)]:
        some, used = protocol.pick(log[offset:end])
        found, offset = found + some, offset + used
    assert found == protocol.pick(log)[0] and offset == len(log)


# ---- a tool's own lines --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text", "progress"),
    [
        ("Epoch {n}/{total}", "Epoch 3/12 loss 0.5", 25),
        ("Epoch {n}/{total}", "  [log] Epoch 12/12", 100),
        ("Epoch {n}/{total}", "Epoch 0/12", 0),
        ("Epoch {n}/{total}", "Epoch 13/12", 100),
        ("Epoch {n}/{total}", "Epoch 3/0", None),
        ("Epoch {n}/{total}", "Epoch 0/0", None),
        ("Epoch {n}/{total}", "Epoch 3/0.0", None),
        ("Epoch {n}/{total}", "Epoch three/12", None),
        ("Epoch {n}/{total}", "epoch 3/12", None),
        ("{n}%", "done 42%", 42),
        ("{n}%", "done 42.7% of it", 42),
        ("{n}%", "done 142%", 100),
        ("step {n} of {total}", "step 999999999999 of 1", 100),
        ("{n} ({total})", "2 (4)", 50),
        ("[{n}/{total}]", "[5/10]", 50),
        ("(a|b)+ {n}.*", "(a|b)+ 7.*", 7),
    ],
)
def test_patterns(pattern, text, progress):
    """A pattern finds its numbers in a tool's line; a total of zero tells nothing; the rest is literal text."""
    assert read(f"{text}\n", pattern).progress == progress


def test_the_last_line_that_tells_something_counts():
    """A total of zero after a good line does not undo it."""
    assert read("Epoch 3/12\nEpoch 4/0\nhello\n", "Epoch {n}/{total}").progress == 25


def test_outputs_beside_a_pattern():
    """Protocol lines keep their meaning beside a pattern, also where a line fits both."""
    found = read("# cloudmesh loss=0.5 epoch=3 progress=50\nepoch=4\n", "epoch={n}")
    assert found.outputs == {"loss": 0.5, "epoch": 3}


def test_patterns_cannot_explode():
    """A pattern of many numbers on a long line without an end takes no noticeable time."""
    assert read("1" * 4000 + "\n", "{n}{total}x").progress is None
    assert read(("1 " * 2000) + "\n", "{n} {total} end").progress is None


# ---- from the job to its reader ------------------------------------------------------------------------------------

KEYS = st.sampled_from(["rows", "error", "model_name", "größe", "x", "_private", "Status", "n"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.none() | st.floats(0, 100), st.dictionaries(KEYS, JSON, max_size=4))
def test_what_a_job_reports_is_what_is_read(percent, outputs):
    """`progress(…)` prints one line that reads back as the same progress and the same outputs, whatever JSON holds."""
    line = reporting.progress(percent, **outputs)
    assert line.startswith("# cloudmesh ") and "\n" not in line and "\r" not in line
    found = protocol.report([line])
    assert found == protocol.Report(None if percent is None else int(percent), outputs)


def test_the_line_is_the_article_s(capsys, monkeypatch):
    """The printed line is the article's, with the batch system's number where there is one."""
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert reporting.progress(50, rows=7) == "# cloudmesh status=running progress=50 pid=4711 rows=7"
    assert reporting.progress(100, pid=3) == "# cloudmesh status=done progress=100 pid=3"
    assert capsys.readouterr().out.count("\n") == 2


def test_figure_6_writes_to_its_file(tmp_path, capsys):
    """Figure 6's call `progress(progress=1, filename=…)` appends its line to that file too."""
    path = tmp_path / "py_script.log"
    reporting.progress(progress=1, filename=str(path))
    reporting.progress(progress=100, filename=str(path))
    assert path.read_text() == capsys.readouterr().out and path.read_text().count("progress=") == 2


@pytest.mark.parametrize("value", ["abc", "50%", math.nan, math.inf, -math.inf, [1]])
def test_a_progress_that_is_no_number_is_an_error_in_the_job(value):
    """A progress that is no finite number is a ValueError (or TypeError) where it is called, and prints nothing."""
    with pytest.raises((ValueError, TypeError)):
        reporting.progress(value)


def test_numbers_outside_are_clipped_when_read():
    """A progress of 101 or -5 reads as 100 or 0."""
    assert [protocol.report([reporting.progress(n)]).progress for n in (101, -5)] == [100, 0]


def test_values_that_json_does_not_know():
    """Values without a JSON form are reported as their text, and NaN does not break the reader's JSON."""
    found = protocol.report([reporting.progress(1, path=keyword, loss=math.nan)])
    assert "keyword" in str(found.outputs["path"])
    json.dumps(found.outputs, allow_nan=False)


def test_a_large_output_is_whole_or_refused():
    """An output that is too long for a line is refused where it is reported, never silently cut into another value."""
    losses = [n / 7 for n in range(1000)]
    try:
        line = reporting.progress(50, losses=losses)
    except ValueError:
        return
    assert read(line + "\n").outputs == {"losses": losses}
