"""Collision families: texts that differ in exactly one way, which some store ignores.

Every text is used as a key, as a user and as an organization. A family names the clause that it decides as each.
"""

from __future__ import annotations

import dataclasses
from typing import Final

Identifier = int | str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    name: str
    texts: tuple[str, ...]
    """The keys; also the users and organizations unless there are `identifiers`."""
    identifiers: tuple[Identifier, ...] | None = None
    probes: tuple[str, ...] = ()
    """More texts to look up as prefixes."""
    key: str = "KEY-01"
    prefix: str = "PREFIX-01"
    user: str = "USER-03"
    organization: str = "SCOPE-06"

    @property
    def ids(self) -> tuple[Identifier, ...]:
        return self.texts if self.identifiers is None else self.identifiers

    @property
    def clauses(self) -> tuple[str, ...]:
        return (self.key, self.prefix, self.user, self.organization)

    def prefixes(self) -> list[str]:
        """Return the prefixes to look up, each once.

        They are the empty text, each text whole, its first character, its first half, all but its last character, and
        the text with one more character, unless that is longer than a key may be; then the probes.
        """
        cuts = [""]
        for text in self.texts:
            cuts += [text, text[:1], text[: len(text) // 2], text[:-1]]
            if len(text.encode()) < 1_024:
                cuts.append(f"{text}a")
        return list(dict.fromkeys((*cuts, *self.probes)))


LINE_BREAKS: Final = ("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
"""Every text that ends a line for `str.splitlines`. Other line readers accept some of them."""

FAMILIES: Final = (
    Family(
        name="case",
        texts=(
            "job", "Job", "JOB", "jobs", "JOBS", "straße", "STRASSE", "i", "I", "ı", "İ", "ſ", "s", "k", "K", "Я",
            "я",
        ),
        prefix="PREFIX-03",
        organization="SCOPE-01",
    ),
    Family(
        name="accents and normalization forms",
        texts=(
            "resume", "résumé", "re\u0301sume\u0301", "résume", "\xc5", "A\u030a", "\u212b", "A", "ñ", "n\u0303",
            "n",
        ),
        probes=("re", "ré", "re\u0301"),
        organization="SCOPE-01",
    ),
    Family(
        name="combining",
        texts=("e", "e\u0301", "é", "e\u0301x", "éx", "ex", "e\u0301\u0323", "e\u0323\u0301"),
        probes=("e\u0301", "é"),
        prefix="PREFIX-08",
        organization="SCOPE-01",
    ),
    Family(name="width", texts=("ABC1", "ＡＢＣ１", "ﬁx", "fix", "①", "1", "１", "ｱ", "ア", "ª", "a")),
    Family(
        name="blanks",
        texts=(
            "a", "a ", "a  ", " a", "a\t", "a\n", "\na", "a\r\n", "a\xa0", "a\u3000", "a\u200b", "a\u2028", "a\x0b",
            " ", "\n",
        ),
        organization="SCOPE-04",
    ),
    Family(
        name="line breaks",
        texts=(
            "a", "ab", "b", *(f"a{line_break}" for line_break in LINE_BREAKS),
            *(f"a{line_break}b" for line_break in LINE_BREAKS), "\x85", "\u2028a", "\u2029",
        ),
        probes=("a\r", "a\x1c", "a\u2028"),
        organization="SCOPE-04",
    ),
    Family(
        name="SQL wildcards",
        texts=(
            "a%", "a_", "ab", "a%b", "axb", "a\\%", "a\\", "\\", "%", "_", "a\\_b", "a_b", "a!%", "a!", "a/%",
            "a[b]", "[%]",
        ),
        probes=("a%", "a_", "a\\", "%b", "a!", "\\%"),
        key="KEY-02",
        prefix="PREFIX-02",
    ),
    Family(
        name="glob",
        texts=(
            "*", "?", "[ab]", "[^a]", "a", "b", "a*", "a?", "ab", "\\*", "[", "]", "[a-z]", "{a,b}", "a\\*b", "a*b",
            "{x}", "{x",
        ),
        probes=("a*", "[a", "\\", "?"),
        key="KEY-02",
        prefix="PREFIX-02",
    ),
    Family(
        name="regular expressions",
        texts=(
            "a.b", "axb", "a\nb", "x\na.b", "^a", "a", "$", "a$", "(a)", "(", "a+", "aa", "a|b", "\\d", "1", "a{2}",
            ".*", "(?i)A",
        ),
        probes=("a.", ".", "^", "(", "a\n", "\\", "a{2}", "\\Qa"),
        key="KEY-02",
        prefix="PREFIX-02",
    ),
    Family(
        name="quotes and injection",
        texts=(
            "'", '"', "a'b", 'a"b', "a`b", "a;b", "a--b", "/*a*/", "' OR '1'='1", "'; DROP TABLE tasks; --", "$gt",
            "$where", '{"$gt": ""}', "a\\'b", "?", ":a", "%s", "%(a)s", "{0}", "${a}", "]]..'",
            "*3\r\n$3\r\nDEL\r\n", "\x1b[0m",
        ),
        key="BAD-03",
        prefix="BAD-03",
        user="BAD-03",
        organization="BAD-03",
    ),
    Family(
        name="numbers",
        texts=(
            "1e3", "1000", "0x3e8", "+1", "1", "1.0", "01", "007", "7", "7 ", "-0", "0", "-1", "1_000", "٧", "NaN",
            "inf", "9007199254740993", "9007199254740992", "10", "true",
        ),
        identifiers=(
            1, 10, 100, "01", "+1", "1.0", "1e0", 7, "007", "7 ", " 7", "7.0", "٧", 70, 0, "-0", "00", -1, -7,
            "True", "1000", "1e3",
        ),
        key="KEY-06",
        user="USER-02",
        organization="SCOPE-04",
    ),
    Family(
        name="large numbers",
        texts=(
            "9223372036854775807", "9223372036854775808", "1208925819614629174706176", "1208925819614629174706177",
        ),
        identifiers=(
            2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64, 2**80, 2**80 + 1, -(2**63), -(2**63) - 1, 2**31,
            0, -1, f"0{2**63}", "18446744073709551617", 10**254, 10**254 + 1,
        ),
        key="KEY-06",
        user="USER-02",
        organization="SCOPE-05",
    ),
    Family(
        name="separators",
        texts=(
            "a", "b", "c", "a:b", "b:c", "a:b:c", "a::b", ":", "::", "a|b", "a/b", "a\x1fb", "a\x01", "1:a", "3:a",
            "a,b", "a b",
        ),
        probes=("a:", "a::", "3:"),
        key="KEY-07",
        prefix="PREFIX-05",
    ),
    Family(
        name="control characters",
        texts=(
            "a", "a\x01", "a\x02", "a\x08", "a\x1f", "a\x7f", "a\x80", "a\x9f", "\x01", "\x02", "\x01a", "\x1f",
            "a\x01b", "a\x02b", "ab", "a\ufeff", "a\u200d", "a\u202e", "a\xad",
        ),
        probes=("a\x01", "a\x1f"),
    ),
    Family(
        name="segments",
        texts=(
            "a", "a.", "a.b", "a.bc", "a.b.c", "a.b.", "ab", "a/b", "a/bc", "a-b", "job:1", "job:10", "job:1:x",
            "b.a.b",
        ),
        probes=("a.b", "job:1", "job:1:", "job"),
        prefix="PREFIX-05",
    ),
    Family(
        name="markers",
        texts=(
            "None", "null", "NULL", "-", "*", "nil", "undefined", "none", "\x01", "\x7f", "''", '""', "{}", "[]",
            "__", "default",
        ),
    ),
    Family(
        name="last code points",
        texts=(
            "a\x7f", "a\x7fb", "a\x80", "a\xff", "a\xffb", "a\u0100", "a\ud7ff", "a\ud7ffb", "a\ue000", "a\uffff",
            "a\uffffb", "a\U00010000", "a\U0010ffff", "a\U0010ffffb", "b", "\U0010ffff", "\U0010ffff\U0010ffff",
            "a",
        ),
        prefix="PREFIX-06",
    ),
    Family(
        name="astral",
        texts=(
            "a😀", "a😁", "a\uffff", "a\ue000", "a\ufffd", "😀", "😀x", "𐀀", "\uff5e", "az", "a{", "azz", "a~", "a",
        ),
        probes=("a", "a😀", "\ud7ff"),
        prefix="PREFIX-07",
    ),
    Family(
        name="long keys",
        texts=(
            "k" * 191 + "a", "k" * 191 + "b", "k" * 255, "k" * 255 + "a", "k" * 255 + "b", "k" * 256,
            "k" * 767 + "a", "k" * 767 + "b", "k" * 1_023 + "a", "k" * 1_023 + "b", "é" * 511 + "aa",
            "é" * 511 + "ab", "😀" * 255 + "abcd", "😀" * 255 + "abce",
        ),
        identifiers=(
            "u" * 63 + "a", "u" * 63 + "b", "u" * 127 + "a", "u" * 127 + "b", "u" * 254 + "a", "u" * 254 + "b",
            "é" * 127 + "a", "é" * 127 + "b",
        ),
        probes=("k" * 255, "k" * 1_022),
        key="KEY-04",
        organization="SCOPE-01",
    ),
    Family(
        name="people",
        texts=(
            "auth0|x", "auth0|X", "auth0|xy", "auth0%", "auth0_x", "ann@example.org", "Ann@example.org",
            "ann@example.org ", "ann+a@example.org", "123e4567-e89b-12d3-a456-426614174000",
            "123E4567-E89B-12D3-A456-426614174000", "123e4567e89b12d3a456426614174000", "Zoë", "Zoe\u0308", "Zoe",
        ),
        organization="SCOPE-01",
    ),
)  # fmt: skip
