"""Text."""

from __future__ import annotations

from headrace.language import row_kernels as k
from headrace.language import row_text
from headrace.language.functions.entries import form, function

TEXT = (
    function(
        "concat",
        "The texts joined; null if any is null.",
        form("string string... -> string", "concat", k.concat, total=True),
        written="a || b, concat(a, b, …)",
        example="'a' || '-' || 'b' → 'a-b'",
    ),
    function(
        "lower",
        "In small letters (Unicode).",
        form("string -> string", "lower", "{0}.lower()", total=True),
        example="lower('ÀB') → 'àb'",
    ),
    function(
        "upper",
        "In capital letters (Unicode).",
        form("string -> string", "upper", "{0}.upper()", total=True),
        example="upper('straße') → 'STRASSE'",
    ),
    function(
        "trim",
        "Without spaces (U+0020), or without the characters of a constant, at either end.",
        form("string -> string", "trim", '{0}.strip(" ")', total=True),
        form("string !characters -> string", "text:trim", row_text.strip_in, total=True),
        written="trim(text), trim(text, characters)",
        example="trim('--a-b-', '-') → 'a-b'",
    ),
    function(
        "length",
        "The number of code points.",
        form("string -> integer", "length", k.length, total=True),
        example="length('été') → 3",
    ),
    function(
        "substring",
        "From the start-th code point, counted from 1, to the end or for length; null if length is negative.",
        form("string integer -> string", "substring_from", k.substring_from, total=True),
        form("string integer integer -> string", "substring", k.substring),
        written="substring(text, start, length)",
        example="substring('headrace', 5, 2) → 'ra'",
    ),
    function(
        "left",
        "The first n code points.",
        form("string integer -> string", "left", k.left, total=True),
        written="left(text, n)",
        example="left('headrace', 4) → 'head'",
    ),
    function(
        "right",
        "The last n code points.",
        form("string integer -> string", "right", k.right, total=True),
        written="right(text, n)",
        example="right('headrace', 4) → 'race'",
    ),
    function(
        "starts_with",
        "Whether the text begins with the other.",
        form("string string -> boolean", lambda a, b: a.str.starts_with(b), "{0}.startswith({1})", total=True),
        written="starts_with(text, other)",
        example="starts_with('N14228', 'N1') → TRUE",
    ),
    function(
        "ends_with",
        "Whether the text ends with the other.",
        form("string string -> boolean", lambda a, b: a.str.ends_with(b), "{0}.endswith({1})", total=True),
        written="ends_with(text, other)",
        example="ends_with('N14228', '28') → TRUE",
    ),
    function(
        "contains",
        "Whether the other is in the text.",
        form("string string -> boolean", lambda a, b: a.str.contains(b, literal=True), "{1} in {0}", total=True),
        written="contains(text, other)",
        example="contains('N14228', '42') → TRUE",
    ),
    function(
        "replace",
        "The text with every search, a constant, replaced by another constant; the same text if search is empty.",
        form("string !text !text -> string", "replace", k.replace_in, total=True),
        written="replace(text, search, replacement)",
        example="replace('a.b.c', '.', '/') → 'a/b/c'",
    ),
    function(
        "trim_left",
        "Without spaces (U+0020), or without the characters of a constant, at the beginning.",
        form("string -> string", "text:trim_left", '{0}.lstrip(" ")', total=True),
        form("string !characters -> string", "text:trim_left", row_text.lstrip_in, total=True),
        written="trim_left(text), trim_left(text, characters)",
        example="trim_left('0042', '0') → '42'",
    ),
    function(
        "trim_right",
        "Without spaces (U+0020), or without the characters of a constant, at the end.",
        form("string -> string", "text:trim_right", '{0}.rstrip(" ")', total=True),
        form("string !characters -> string", "text:trim_right", row_text.rstrip_in, total=True),
        written="trim_right(text), trim_right(text, characters)",
        example="trim_right('a.,', '.,') → 'a'",
    ),
    function(
        "pad_left",
        "Filled at the beginning, with spaces or with the character of a constant, to n code points; a longer text "
        f"stays; null for n above {row_text.LONGEST_MADE:,}.",
        form("string integer -> string", "text:pad_left", row_text.pad_left),
        form("string integer !fill -> string", "text:pad_left", row_text.pad_left_in),
        written="pad_left(text, n), pad_left(text, n, fill)",
        example="pad_left('42', 5, '0') → '00042'",
    ),
    function(
        "pad_right",
        "Filled at the end, with spaces or with the character of a constant, to n code points; a longer text stays; "
        f"null for n above {row_text.LONGEST_MADE:,}.",
        form("string integer -> string", "text:pad_right", row_text.pad_right),
        form("string integer !fill -> string", "text:pad_right", row_text.pad_right_in),
        written="pad_right(text, n), pad_right(text, n, fill)",
        example="pad_right('ab', 4, '.') → 'ab..'",
    ),
    function(
        "repeat",
        f"The text n times; null for a negative n, and when more than {row_text.LONGEST_MADE:,} code points come out.",
        form("string integer -> string", "text:repeat", row_text.repeat),
        written="repeat(text, n)",
        example="repeat('ab', 3) → 'ababab'",
    ),
    function(
        "reverse",
        "The code points from the last to the first.",
        form("string -> string", "text:reverse", "{0}[::-1]", total=True),
        example="reverse('abc') → 'cba'",
    ),
    function(
        "position",
        "Where the other begins in the text, in code points from 1; 0 if it is not in it.",
        form("string string -> integer", "text:position", "{0}.find({1}) + 1", total=True),
        written="position(text, other)",
        example="position('headrace', 'race') → 5",
    ),
    function(
        "split_part",
        "The n-th part, from the end if n is negative, of the text cut at every separator, a constant; null if there "
        "is no such part.",
        form("string !separator !place -> string", "text:split_part", row_text.split_part_in),
        written="split_part(text, separator, n)",
        example="split_part('a/b/c', '/', -1) → 'c'",
    ),
    function(
        "initcap",
        "Every word with a capital and small letters; a word is letters and digits, and an apostrophe between them.",
        form("string -> string", "text:initcap", row_text.initcap, total=True),
        example="initcap('JOHN o''neil-smith') → 'John O''neil-Smith'",
    ),
    function(
        "code_point",
        "The number of the first code point; null for an empty text.",
        form("string -> integer", "text:code_point", row_text.code_point),
        example="code_point('A') → 65",
    ),
    function(
        "is_ascii",
        "Whether every character is of ASCII.",
        form("string -> boolean", "text:is_ascii", "{0}.isascii()", total=True),
        example="is_ascii('é') → FALSE",
    ),
    function(
        "count_of",
        "How often the other, a constant, stands in the text, without overlaps.",
        form("string !separator -> integer", "text:count_of", row_text.count_in, total=True),
        written="count_of(text, other)",
        example="count_of('a-b-c', '-') → 2",
    ),
    function(
        "count_letters",
        "How many code points are letters (Unicode).",
        form("string -> integer", "text:count_letters", row_text.count_letters, total=True),
        example="count_letters('N14228é') → 2",
    ),
    function(
        "count_capitals",
        "How many code points are capital letters (Unicode).",
        form("string -> integer", "text:count_capitals", row_text.count_capitals, total=True),
        example="count_capitals('Hello World') → 2",
    ),
    function(
        "count_digits",
        "How many characters are digits 0 to 9.",
        form("string -> integer", "text:count_digits", row_text.count_digits, total=True),
        example="count_digits('N14228') → 5",
    ),
    function(
        "count_words",
        "How many runs there are of characters other than ASCII white space.",
        form("string -> integer", "text:count_words", row_text.count_words, total=True),
        example="count_words('  to be  or not ') → 4",
    ),
    function(
        "normalize",
        "In Unicode's composed form (NFC).",
        form("string -> string", "text:normalize", row_text.normalize, total=True),
        example="length(normalize('é')) → 1",
    ),
    function(
        "strip_accents",
        "Without the marks that stand on, under or in letters, in composed form.",
        form("string -> string", "text:strip_accents", row_text.strip_accents, total=True),
        example="strip_accents('Łódź café') → 'Łodz cafe'",
    ),
    function(
        "levenshtein",
        "How many code points have to be put in, left out or exchanged to make one text of the other.",
        form("string string -> integer", "text:levenshtein", row_text.levenshtein, total=True),
        written="levenshtein(a, b)",
        example="levenshtein('kitten', 'sitting') → 3",
    ),
    function(
        "trigram_similarity",
        "The share of three-character pieces that both texts have, in small letters with two spaces before and one "
        "after, of those that either has: 1 if they are alike, 0 if nothing is.",
        form("string string -> float", "text:trigram_similarity", row_text.trigram_similarity, total=True),
        written="trigram_similarity(a, b)",
        example="trigram_similarity('word', 'Words') → 0.5714285714285714",
    ),
    function(
        "common_prefix",
        "How many code points both texts begin with.",
        form("string string -> integer", "text:common_prefix", row_text.common_prefix, total=True),
        written="common_prefix(a, b)",
        example="common_prefix('N14228', 'N14290') → 4",
    ),
    function(
        "jaro_winkler",
        "How alike two texts are, 0 to 1, by the characters that stand near the same place in both and a common "
        "beginning: for names.",
        form("string string -> float", "text:jaro_winkler", row_text.jaro_winkler, total=True),
        written="jaro_winkler(a, b)",
        example="round(jaro_winkler('MARTHA', 'MARHTA'), 4) → 0.9611",
    ),
)
