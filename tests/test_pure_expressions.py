"""Conditions give values to what they may name, and nothing else: a corpus of attempts to get further."""

import pytest

from cc_notebook import expressions

VALUES = {
    "fetch": {"rows": 7, "values": [1, 2], "items": 3, "keys": "k", "__class__": "text", "no": None},
    "params": {"limit": 3},
    "jobs": {"fetch-data": {"rows": 9}},
    "name": "ab",
}

REFUSED = [
    *("open('x')", "fetch.rows()", "name.upper()", "__import__('os')", "print", "len(name)", "fetch.values.append(3)"),
    *("import os", "x = 1", "lambda: 1", "(y := 1)", "f'{name}'", "[x for x in fetch.values]", "{x for x in name}"),
    *("{'a': 1}", "{1}", "*name", "await name", "yield", "fetch.values[0:1]", "''.join", "name.__class__"),
    *(
        "fetch.rows.__class__",
        "fetch.__dict__",
        "params.__init__",
        "jobs.__class__.__mro__",
        "fetch.get",
        "name.format",
    ),
    *("(1).real", "fetch.values.__len__", "__builtins__", "'a' * 9999999", "[1] * 9999999", "9 ** 9 ** 9", "'%s' % 1"),
    *("1 << 99999999", "1 if", "", "a b", "name[5]", "name['x']", "fetch.values['0']", "fetch.nothing", "nothing.rows"),
    *("(" * 60 + "1" + ")" * 60 + "+" * 60 + "1", "1" + " + 1" * 1500),
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_condition_is_refused(text):
    """Calls, imports, comprehensions, attributes of objects and numbers without end are errors, and only errors."""
    with pytest.raises(expressions.ExpressionError):
        expressions.evaluate(text, VALUES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("fetch.values", [1, 2]),
        ("fetch.items + 1", 4),
        ("fetch.keys == 'k'", True),
        ("fetch.__class__", "text"),
        ("fetch['values'][-1] in fetch.values", True),
        ("jobs['fetch-data'].rows > params.limit and not fetch.no", True),
        ("name[0] if fetch.rows else name", "a"),
        ("2 ** 10 - -1", 1025),
    ],
)
def test_an_output_may_have_any_name(text, value):
    """What stands behind a dot is a key of the data, also where an object has an attribute of that name."""
    assert expressions.evaluate(text, VALUES)[0] == value
    assert expressions.evaluate(text, VALUES)[0] == value  # what was parsed once is as good the second time
    assert expressions.check(text, VALUES) == ""


def test_an_expression_is_parsed_once():
    """A loop's members share the condition: it is not parsed for each."""
    expressions._parse.cache_clear()
    for number in range(50):
        assert expressions.evaluate("n >= 0", {"n": number})[0]
    assert expressions._parse.cache_info().misses == 1
