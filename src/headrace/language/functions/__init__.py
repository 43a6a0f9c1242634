"""The one table of functions: every function and operator of the language, once, with both its forms.

To add a function, add one entry to a family in this folder; the parser, both compilers, the reference page and the
parity property test take it up by themselves. An entry gives

* its name, and how it is written if that is not ``name(…)``;
* one form for each type rule (`headrace.language.signatures` says how a rule is written), and in it
* the *columns* form: a callable over Polars expressions, or, so that Polars is imported only when used, the name of one
  in `headrace.language.column_kernels` ("times:…" for one in `headrace.language.column_times`, and so on);
* the *row* form: a template of Python source in which ``{0}`` is the first argument, a helper to call, or a tuple of
  such steps. In either form constants come as values; the first step of a form with constants is given them once and
  returns the template or helper for each row;
* the null rule: null if any argument is null (the templates and helpers never see one), or `own_nulls`;
* an example, which a test computes in both forms.

Rules of meaning, equal in both forms to the bit:

* a NaN that is read becomes null; an operation that would give NaN gives null; infinities stay; -0.0 is 0.0;
* an integer result outside 64 bits is null, so is a date or timestamp outside the years 1 to 9999;
* a decimal of more than twelve digits before the point is null; `*` rounds to six places, halves away from zero;
* ``/`` gives a float; division by zero, by ``/``, ``div`` or ``%``, is null; ``div`` cuts toward zero and ``%`` has the
  sign of its left side;
* AND, OR and NOT are three-valued; a comparison with null is null; text compares by code point;
* `round` rounds halves away from zero; CAST gives null where it fails;
* the C library's own exp, ln, sin, … serve both forms.
"""

from __future__ import annotations

from msgspec.structs import replace

from headrace.language.forms import Function
from headrace.language.functions.arithmetic import ARITHMETIC
from headrace.language.functions.calendar import CALENDAR
from headrace.language.functions.conversion import CASTS, CONVERSION
from headrace.language.functions.logic import LOGIC
from headrace.language.functions.mathematics import MATHEMATICS
from headrace.language.functions.patterns import PATTERNS
from headrace.language.functions.statistics import BUCKETS, STATISTICS
from headrace.language.functions.text import TEXT
from headrace.language.functions.time import TIME

__all__ = ["CASTS", "FUNCTIONS"]

_GROUPS = {
    "Arithmetic": ARITHMETIC,
    "Mathematics": MATHEMATICS,
    "Comparison and logic": LOGIC,
    "Statistics of arguments": STATISTICS,
    "Text": TEXT,
    "Regular expressions": PATTERNS,
    "Time": TIME,
    "Calendar": CALENDAR,
    "Hashes and buckets": BUCKETS,
    "Conversion": CONVERSION,
}

FUNCTIONS: dict[str, Function] = {
    function.name: replace(function, group=group) for group, functions in _GROUPS.items() for function in functions
}
