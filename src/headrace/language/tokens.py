"""Expression text as tokens that are safe to hand to the SQL parser.

Length, nesting and the kinds of token are checked here, before the parser sees anything. Then every name, number and text
is replaced by the number of its token: what comes back in the parser's tree is a place in the text, so that no word of
the user's can be taken for one of the parser's own functions, and every error knows where it is.
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
        TokenType.IN,
        TokenType.IS,
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
_TYPED_TEXT = frozenset({"DATE", "TIMESTAMP"})
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

    def error(self, message: str, index: int) -> ExpressionError:
        """A mistake of syntax at a token."""
        return ExpressionError("syntax", message, text=self.text, offset=self.place(index))


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
    signs = 0
    for index, word in enumerate(tokens.words):
        if word.token_type in (TokenType.L_PAREN, TokenType.CASE):
            open_at.append(index)
        elif word.token_type in (TokenType.R_PAREN, TokenType.END):
            if not open_at:
                raise tokens.error("a parenthesis is closed that was not opened", index)
            open_at.pop()
        signs = signs + 1 if word.token_type in (TokenType.DASH, TokenType.NOT) else 0
        if len(open_at) > MAX_NESTING or signs > MAX_NESTING:
            raise ExpressionError(
                "too-deep",
                f"an expression nests at most {MAX_NESTING} deep",
                text=tokens.text,
                offset=tokens.place(index),
                fix="split it into several features",
            )
    if open_at:
        raise tokens.error("a parenthesis or a CASE is not closed", open_at[-1])


def _number(tokens: Tokens, index: int) -> Token:
    """The token that the parser gets for the one at `index`."""
    word = tokens.words[index]
    kind = word.token_type
    if kind in _LEAVES:
        return _renamed(word, kind, f"c{index}" if kind is TokenType.IDENTIFIER else str(index))
    if kind in _KEYWORDS or kind in _SIGNS:
        return word
    if not (word.text[:1].isalpha() or word.text[:1] == "_"):
        raise tokens.error(f"{word.text!r} is not part of the language", index)
    before = tokens.words[index - 1] if index else None
    after = tokens.words[index + 1].token_type if index + 1 < len(tokens.words) else None
    upper = word.text.upper()
    if upper == "AS" or (upper == "DIV" and after is not TokenType.L_PAREN):
        return word
    if before is not None and (before.token_type is TokenType.DCOLON or before.text.upper() == "AS"):
        return word
    if after is TokenType.L_PAREN:
        return word if upper in ("CAST", "TRY_CAST") else _renamed(word, TokenType.VAR, f"f{index}")
    if after is TokenType.STRING and upper in _TYPED_TEXT:
        return word
    return _renamed(word, TokenType.IDENTIFIER, f"c{index}")


def _renamed(word: Token, kind: TokenType, text: str) -> Token:
    return Token(kind, text, word.line, word.col, word.start, word.end)
