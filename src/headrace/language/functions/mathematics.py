"""Mathematics: powers, logarithms, angles."""

from __future__ import annotations

import math

from headrace.language import row_kernels as k
from headrace.language import row_math, row_places
from headrace.language.functions.entries import float_form, form, function

MATHEMATICS = (
    function(
        "power",
        "a to the power b.",
        form("float float -> float", "power", k.power),
        written="power(a, b)",
        example="power(2, 10) → 1024.0",
    ),
    function("sqrt", "The square root; null below 0.", float_form("sqrt", k.sqrt), example="sqrt(2.25) → 1.5"),
    function("exp", "e to the power x.", float_form(lambda a: a.exp(), k.exp), example="exp(0) → 1.0"),
    function(
        "ln",
        "The natural logarithm: -infinity at 0, null below.",
        float_form(lambda a: a.log(), k.ln),
        example="ln(1) → 0.0",
    ),
    function(
        "log10",
        "The logarithm to base 10: -infinity at 0, null below.",
        float_form("log10", k.log10),
        example="log10(1000) → 3.0",
    ),
    function(
        "sin",
        "The sine of an angle in radians; null at an infinity.",
        float_form(lambda a: a.sin(), k.sin),
        example="sin(0) → 0.0",
    ),
    function(
        "cos",
        "The cosine of an angle in radians; null at an infinity.",
        float_form(lambda a: a.cos(), k.cos),
        example="cos(0) → 1.0",
    ),
    function(
        "tan",
        "The tangent of an angle in radians; null at an infinity.",
        float_form(lambda a: a.tan(), k.tan),
        example="tan(0) → 0.0",
    ),
    function(
        "atan2",
        "The angle of the point (x, y) in radians.",
        form("float float -> float", "atan2", k.atan2, total=True),
        written="atan2(y, x)",
        example="degrees(atan2(1, 0)) → 90.0",
    ),
    function(
        "radians", "Degrees as radians.", float_form("radians", k.radians), example="radians(180) → 3.141592653589793"
    ),
    function(
        "haversine",
        "The great-circle distance in km of two points in degrees, on a sphere of radius 6371.0088 km; null for a "
        "latitude beyond 90.",
        form("float float float float -> float", "haversine", k.haversine, takes_unsettled=True),
        written="haversine(lat1, lon1, lat2, lon2)",
        example="round(haversine(40.6413, -73.7781, 33.9416, -118.4085)) → 3974.0",
    ),
    function(
        "bearing",
        "The angle at the first point from north to the second, clockwise, in degrees from 0 to below 360; points in "
        "degrees; null for a latitude beyond 90.",
        form("float float float float -> float", "places:bearing", row_places.bearing),
        written="bearing(lat1, lon1, lat2, lon2)",
        example="round(bearing(40.6413, -73.7781, 33.9416, -118.4085), 1) → 273.8",
    ),
    function(
        "geohash",
        "The geohash of a point in degrees, of 1 to 12 characters; null for a latitude beyond 90 or a longitude beyond "
        "180.",
        form("float float !precision -> string", "places:geohash", row_places.geohash_in),
        written="geohash(lat, lon, precision)",
        example="geohash(57.64911, 10.40744, 11) → 'u4pruydqqvj'",
    ),
    function(
        "log2",
        "The logarithm to base 2: -infinity at 0, null below.",
        float_form("math:log2", row_math.log2),
        example="log2(8) → 3.0",
    ),
    function(
        "log1p",
        "ln(1 + x), exact for small x: -infinity at -1, null below.",
        float_form(lambda a: a.log1p(), row_math.log1p),
        example="log1p(1e-20) → 1e-20",
    ),
    function(
        "expm1",
        "exp(x) - 1, exact for small x.",
        float_form("math:expm1", row_math.expm1),
        example="expm1(1e-20) → 1e-20",
    ),
    function("cbrt", "The cube root.", float_form("math:cbrt", row_math.cbrt), example="round(cbrt(-27), 9) → -3.0"),
    function(
        "asin",
        "The angle in radians whose sine is x; null outside -1 to 1.",
        float_form(lambda a: a.arcsin(), row_math.asin),
        example="degrees(asin(1)) → 90.0",
    ),
    function(
        "acos",
        "The angle in radians whose cosine is x; null outside -1 to 1.",
        float_form(lambda a: a.arccos(), row_math.acos),
        example="degrees(acos(-1)) → 180.0",
    ),
    function(
        "atan",
        "The angle in radians whose tangent is x.",
        float_form(lambda a: a.arctan(), row_math.atan),
        example="round(degrees(atan(1)), 9) → 45.0",
    ),
    function("sinh", "The hyperbolic sine.", float_form(lambda a: a.sinh(), row_math.sinh), example="sinh(0) → 0.0"),
    function("cosh", "The hyperbolic cosine.", float_form(lambda a: a.cosh(), row_math.cosh), example="cosh(0) → 1.0"),
    function(
        "tanh", "The hyperbolic tangent.", float_form(lambda a: a.tanh(), row_math.tanh), example="tanh(1000) → 1.0"
    ),
    function(
        "degrees",
        "Radians as degrees.",
        float_form(lambda a: a.degrees(), row_math.degrees),
        example="degrees(0.5) → 28.64788975654116",
    ),
    function(
        "hypot",
        "The distance of the point (a, b) from the origin.",
        form("float float -> float", "math:hypot", row_math.hypot),
        written="hypot(a, b)",
        example="hypot(3, 4) → 5.0",
    ),
    function(
        "sigmoid",
        "1 / (1 + exp(-x)).",
        float_form("math:sigmoid", row_math.sigmoid),
        example="sigmoid(0) → 0.5",
    ),
    function(
        "logit",
        "ln(p / (1 - p)): -infinity at 0, infinity at 1, null outside.",
        float_form("math:logit", row_math.logit),
        example="logit(0.5) → 0.0",
    ),
    function(
        "cyclic_sin",
        "The sine of x as a place on a circle whose length is the period, a constant above 0: with `cyclic_cos` it "
        "puts hour 23 beside hour 0.",
        form("float !positive -> float", "math:cyclic_sin", row_math.cyclic_sin_in, takes_unsettled=True),
        written="cyclic_sin(x, period)",
        example="cyclic_sin(6, 24) → 1.0",
    ),
    function(
        "cyclic_cos",
        "The cosine of x as a place on a circle whose length is the period, a constant above 0.",
        form("float !positive -> float", "math:cyclic_cos", row_math.cyclic_cos_in, takes_unsettled=True),
        written="cyclic_cos(x, period)",
        example="cyclic_cos(24, 24) → 1.0",
    ),
    function(
        "is_finite",
        "Whether the number is not an infinity.",
        form("float -> boolean", lambda a: a.is_finite(), "{0} - {0} == 0.0", total=True),
        example="is_finite(exp(1000)) → FALSE",
    ),
    function(
        "pi",
        "The ratio of a circle's circumference to its diameter.",
        form("-> float", "math:pi", repr(math.pi), total=True),
        written="pi()",
        example="pi() → 3.141592653589793",
    ),
)
