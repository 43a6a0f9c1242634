"""Expression text as tokens that are safe to hand to the SQL parser.

Length, nesting and the kinds of token are checked here, before the parser sees anything. Then every name, number and
text is replaced by the number of its token: what comes back in the parser's tree is a place in the text, so that no
word of the user's can be taken for one of the parser's own functions, and every error knows where it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlglot.errors
from sqlglot.tokenizer_core import Token, TokenType
from sqlglot.tokens import Tokenizer

from headrace.language.errors import ExpressionError

MAX_CHARACTERS = 20_000
MAX_TOKENS = 4_000
MAX_NESTING = 64

_KEYWORDS = frozenset(
    {
        TokenType.AND,
        TokenType.BETWEEN,
        TokenType.CASE,
        TokenType.ELSE,
        TokenType.END,
        TokenType.FALSE,
        TokenType.ILIKE,
        TokenType.IN,
        TokenType.IS,
        TokenType.LIKE,
        TokenType.NOT,
        TokenType.NULL,
        TokenType.OR,
        TokenType.THEN,
        TokenType.TRUE,
        TokenType.WHEN,
    }
)
_SIGNS = frozenset(
    {
        TokenType.COMMA,
        TokenType.DASH,
        TokenType.DCOLON,
        TokenType.DPIPE,
        TokenType.EQ,
        TokenType.GT,
        TokenType.GTE,
        TokenType.L_PAREN,
        TokenType.LT,
        TokenType.LTE,
        TokenType.MOD,
        TokenType.NEQ,
        TokenType.PLUS,
        TokenType.R_PAREN,
        TokenType.SLASH,
        TokenType.STAR,
    }
)
_CONSTANTS = frozenset({TokenType.FALSE, TokenType.NULL, TokenType.TRUE})
_DIVIDERS = frozenset(
    {
        TokenType.AND,
        TokenType.OR,
        TokenType.COMMA,
        TokenType.L_PAREN,
        TokenType.R_PAREN,
        TokenType.WHEN,
        TokenType.THEN,
        TokenType.ELSE,
        TokenType.END,
    }
)
_BETWEEN_OPERANDS = _KEYWORDS - _CONSTANTS - {TokenType.END, TokenType.IS}
_PATTERN_OPERATORS = frozenset({TokenType.GLOB, TokenType.RLIKE, TokenType.SIMILAR_TO})
_TYPED_TEXT = frozenset({"DATE", "TIMESTAMP", "DECIMAL", "NUMERIC"})
_LEAVES = frozenset({TokenType.STRING, TokenType.NUMBER, TokenType.IDENTIFIER})


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one expression."""

    text: str
    words: tuple[Token, ...]
    """As written."""
    numbered: tuple[Token, ...]
    """As the parser gets them."""

    def place(self, index: int) -> int:
        """Where a token begins in the text; the end of the text for the place after the last."""
        if index >= len(self.words):
            return len(self.text)
        start = self.words[index].start
        quoted = self.words[index].token_type in (TokenType.STRING, TokenType.IDENTIFIER)
        return start - 1 if quoted and start and self.text[start] not in "'\"" else start

    def error(self, message: str, index: int, *, fix: str | None = None) -> ExpressionError:
        """A mistake of syntax at a token."""
        return ExpressionError("syntax", message, text=self.text, offset=self.place(index), fix=fix)


def tokenize(text: str) -> Tokens:
    """The tokens of `text`, checked and numbered."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(
            "too-long",
            f"an expression has at most {MAX_CHARACTERS} characters, this one has {len(text)}",
            text=text,
            offset=MAX_CHARACTERS,
            fix="split it into several features",
        )
    try:
        words = Tokenizer().tokenize(text)
    except sqlglot.errors.TokenError:
        raise ExpressionError(
            "syntax", "a text or a name in quotes is not closed", text=text, offset=_last_quote(text)
        ) from None
    tokens = Tokens(text, tuple(words), ())
    if not words:
        raise tokens.error("the expression is empty", 0)
    if len(words) > MAX_TOKENS:
        raise ExpressionError(
            "too-long",
            f"an expression has at most {MAX_TOKENS} words and signs, this one has {len(words)}",
            text=text,
            offset=tokens.place(MAX_TOKENS),
            fix="split it into several features",
        )
    _check_nesting(tokens)
    return Tokens(text, tokens.words, tuple(_number(tokens, index) for index in range(len(words))))


def _last_quote(text: str) -> int:
    return max(text.rfind("'"), text.rfind('"'), 0)


def _check_nesting(tokens: Tokens) -> None:
    open_at: list[int] = []
    signs = 0  # minus signs and NOTs one inside the other
    for index, word in enumerate(tokens.words):
        if word.token_type in (TokenType.L_PAREN, TokenType.CASE):
            open_at.append(index)
        elif word.token_type in (TokenType.R_PAREN, TokenType.END):
            if not open_at:
                raise tokens.error(f"{word.text!r} closes nothing that was opened", index)
            open_at.pop()
        if word.token_type in _DIVIDERS:
            signs = 0
        elif word.token_type in (TokenType.DASH, TokenType.NOT):
            signs += 0 if index and _is_operand_end(tokens.words[index - 1]) else 1
        if len(open_at) > MAX_NESTING or signs > MAX_NESTING:
            raise too_deep(tokens, index)
    if open_at:
        raise tokens.error(f"{tokens.words[open_at[-1]].text!r} is not closed", open_at[-1])


def _is_operand_end(word: Token) -> bool:
    return word.token_type is TokenType.R_PAREN or not (
        word.token_type in _SIGNS or word.token_type in _BETWEEN_OPERANDS
    )


def too_deep(tokens: Tokens, index: int) -> ExpressionError:
    """The error for an expression that nests too deep at a token."""
    return ExpressionError(
        "too-deep",
        f"an expression nests at most {MAX_NESTING} deep",
        text=tokens.text,
        offset=tokens.place(index),
        fix="split it into several features",
    )


def _number(tokens: Tokens, index: int) -> Token:
    """The token that the parser gets for the one at `index`."""
    word = tokens.words[index]
    kind = word.token_type
    if kind in _LEAVES:
        return _renamed(word, kind, f"c{index}" if kind is TokenType.IDENTIFIER else str(index))
    if kind in _CONSTANTS and not _follows_is(tokens.words, index):
        return _renamed(word, TokenType.IDENTIFIER, f"c{index}")
    if kind in _KEYWORDS or kind in _SIGNS:
        return word
    plain = tokens.text[word.start : word.end + 1] == word.text  # not so for N'…' and other marked texts
    if kind in _PATTERN_OPERATORS or not plain or not (word.text[:1].isalpha() or word.text[:1] == "_"):
        fix = "use LIKE or regexp_matches" if kind in _PATTERN_OPERATORS else None
        raise tokens.error(f"{word.text!r} is not part of the language", index, fix=fix)
    before = tokens.words[index - 1] if index else None
    after = tokens.words[index + 1].token_type if index + 1 < len(tokens.words) else None
    upper = word.text.upper()
    after_type_sign = before is not None and (
        before.token_type is TokenType.DCOLON or (before.text.upper() == "AS" and before.token_type not in _LEAVES)
    )
    if after_type_sign or upper == "AS" or (upper == "DIV" and after is not TokenType.L_PAREN):
        return word
    if after is TokenType.L_PAREN:
        return word if upper in ("CAST", "TRY_CAST") else _renamed(word, TokenType.VAR, f"f{index}")
    if after is TokenType.STRING and upper in _TYPED_TEXT:
        return word
    return _renamed(word, TokenType.IDENTIFIER, f"c{index}")


def _follows_is(words: tuple[Token, ...], index: int) -> bool:
    """Whether a word ends `IS …` or `IS NOT …`."""
    before = index - 1 if index and words[index - 1].token_type is not TokenType.NOT else index - 2
    return before >= 0 and words[before].token_type is TokenType.IS


def _renamed(word: Token, kind: TokenType, text: str) -> Token:
    return Token(kind, text, word.line, word.col, word.start, word.end)
