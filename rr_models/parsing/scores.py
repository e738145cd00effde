"""The values under a critic's headings: a score as written -> numbers, a winner as written -> its name.

A score is read only if no other reading is sensible: a number with words right after it ("2 legs are
wrong"), a second number, a sign, an arrow or a foreign scale make it unreadable (None), never a guess.
All patterns look at short, bounded stretches, so time stays linear in the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from ..judgement.answer_format import NOT_APPLICABLE_TEXT, TIE, A, B
from ..judgement.aspects import BEST, WORST

ParsedScore = tuple[float, ...] | str | None
"""One number, a range of two, a word ("N/A", a winner), or None if it cannot be read."""

_NA = re.compile(
    r"(?:n\s?/\s?a\b|not (?:applicable|required|requested|relevant)\b|does(?: not|n['’]t) apply\b"
    r"|no text (?:(?:was|is) )?(?:requested|required|asked for)\b|不适用|不涉及)"
    r"|(?:n\.\s?a\.?|na|none|null|无)(?=\s*(?:$|[.,;:!(\[，。；（]|[-–—]\s))",
    re.I,
)
_GRADES = (
    "(?:excellent|perfect|very good|good|fair|moderate|average|acceptable|very poor|poor|bad"
    "|优秀|良好|一般|较差|很差|差)"
)
_HEDGE = re.compile(
    r"(?:(?:approximately|approx\.?|about|(?:somewhere )?around|roughly|circa|between|maybe|perhaps|probably"
    r"|nearly|almost|a (?:solid|strong|weak|clear)|(?:(?:the|my|a|final) ){0,2}score(?: of| is| would be)?"
    r"|i(?: would|['’]d)? (?:say|(?:give|rate|score) (?:it|this)(?: (?:a|at|as))?)|约|大约|大概)(?![a-z])"
    rf"|[~≈=:](?!~))\s*|{_GRADES}\s*[*_]{{0,3}}\s*[:(\[–—-]\s*",
    re.I,
)
_TYPE = re.compile(r"[\[(]?\s*(?:float|number|decimal)\s*[\])]?\s*[:,]?\s*|\+(?=[0-9])|\\boxed\{?", re.I)
_FLOAT = r"[0-9]{1,9}(?:[.,][0-9]{1,30})?"
_END = r"(?![\w%]|[.,][0-9])"
_TO = "(?:-|–|—|−|~|to|至|到)"
_COMMENT = re.compile(
    r"\s*(?:[,;:。|!]|\.(?!\.)|\s[-–—]\s|[–—]|[(\[])(?!\s*[-+]?[0-9])|\s*[(\[][0-9]+\s+[a-z]"
    rf"|\s+(?:because|since|due to|approximately|or so|overall)\b|\s*{_GRADES}\W*$|\s*</?[a-z|]",
    re.I,
)
_SECOND_SCORE = re.compile(r"(?<![0-9])[0-9][.,][0-9]|[0-9]\s*/\s*[0-9]|->|=|→|\bn/a\b", re.I)
# after N/A: a score right there, or as the last word
_SCORED_AFTER_ALL = re.compile(
    r"\W*(?:(?:or|and|to|so|no|now|then|score|rating)\W+)*[0-9](?:[.,][0-9]|\s*/\s*[0-9])"
    r"|.*(?:->|=|→|(?<![0-9])[0-9](?:[.,]|\s*/\s*)[0-9]{1,2}\W*$)",
    re.I | re.S,
)
_FRACTIONS = {"½": ".5", "¼": ".25", "¾": ".75"}
_INVISIBLE = dict.fromkeys([0xAD, *range(0x200B, 0x2010), 0x2060, 0xFEFF])
_DRESS = re.compile(
    r"</?(?:b|strong|em|i|u|code)>|[${}★☆⭐\u2600-\u2767\U0001f300-\U0001faff\ufe0f]|^\s*<(?=[^<>]*>\s*$)|(?<=[^<])>\s*$",
    re.I,
)
_SHARE = re.compile(r"[(\[]\s*[0-9]{1,3}(?:\.[0-9]{1,3})?\s?%\s*[)\]]?")

_NO_WORD = re.compile(
    r"(?:[\W\d_]|(?:n/?a|not applicable|score|rating|of|out of|points?|stars?|不适用|分)(?![a-z]))*", re.I
)

SIDES = r"(?:images?|pictures?|options?|candidates?|edits?|图像|图片|图)"
"""What a critic calls A and B."""
SCORES = r"(?:scores?|ratings?|评分|得分|分数|打分)"
_OF_SIDE = re.compile(
    rf"(?:^|(?<=[\s,;|/(\[、*]))(?:{SCORES}\W{{0,3}}(?:(?:of|for)\s)?)?[(\[]?(?:{SIDES}\s?)?(?-i:(?P<side>[AB]))"
    rf"(?:['’]s)?[)\]]?(?:\s?{SCORES})?[\s*_]{{0,4}}[:=]?[\s*_]{{0,4}}(?=[0-9\[(~]|n/?a\b|不适用|无)",
    re.I,
)
_WINNER_BEHIND = re.compile(r"[\s,;|/*_]{1,6}(?:winner|胜者|获胜者)[\s*_]{0,4}[:=]", re.I)
_VERSUS = re.compile(r"\s(?:vs\.?|versus)\s|\s?对\s?", re.I)
_ORDERS = (["a"], ["b"], ["a", "b"], ["b", "a"])
_EITHER = re.compile(rf"[/,|]|{_VERSUS.pattern}", re.I)
_BETWEEN = re.compile(r"[\s,;|/、*_]{0,8}(?:\b(?:and|vs\.?|versus))?[\s*_]{0,4}$", re.I)
_TIED = re.compile(
    r"(?:it(?:['’]?s| is) )?(?:(?:a |an )?(?:tie|draw)\b|tied\b|equal\b|the same\b|even\W*$)"
    rf"|both(?: {SIDES})?(?: are)?(?: (?:about |roughly )?(?:equal(?:ly)?|the same|tied|even)\b|\W*$)"
    rf"|(?:{SIDES} )?a(?: and |\s?=\s?)(?:{SIDES} )?b(?: (?:are )?(?:equal|tied?|the same)\b|\W*$)"
    r"|neither\W*$|no (?:clear )?winner\b|平局|平手|不分胜负|持平|相当|两者相同|一样",
    re.I,
)
_NAMED = re.compile(
    rf"(?:(?:the )?(?:winner|better image)(?: is|:)?\s*)?(?:the )?"
    rf"(?:{SIDES}[\s_-]?[(\[]?(?P<named>[AB])|[(\[]?(?-i:(?P<side>[AB])))(?:\s*$|\s*[)\]]|\s*[.;:!(\[。；]"
    rf"|\s*[,，](?!\s?(?:{SIDES}\s?)?(?-i:[AB])\b)|\s*[-–—]\s|\s*>|\s?(?:胜|获胜|更好|更优|较好|优于)"
    r"|\s(?:wins?|won|is (?:the winner|(?:(?:clearly|slightly|much) )?better)|by|over|clearly|slightly|due"
    r"|because|since)\b)",
    re.I,
)


class _Scale:
    """The patterns that know the worst and the best score."""

    def __init__(self, worst: float, best: float):
        self.worst, self.best = worst, best
        # a number beyond these was meant on another scale
        slack = (best - worst) / 3
        self.lowest, self.highest = min(worst - slack, 0), best + slack
        sign = "[-−]?" if worst < 0 else ""
        number = sign + _FLOAT
        low, high = (_written(edge) for edge in (worst, best))
        self.whole = re.compile(
            rf"[\[(]?\s*(?:float\s*)?{low}\s*{_TO}\s*{high}{_END}"
            r"(?:[^\])0-9]{0,40}[\])]|\s*scale)?\s*[:=]?\s*",
            re.I,
        )
        self.value = re.compile(
            rf"(?P<low>{number})(?:\s*(?:{_TO}|and)\s*(?P<high>{number}))?"
            rf"(?:\s*(?:/|⁄|out of|of)\s*(?P<scale>{number}))?(?:\s*(?:points?|stars?|分)(?!\w))?{_END}",
            re.I,
        )
        self.of_it = re.compile(
            r"(?:\bon (?:a|the) )?(?:scale (?:of|from) )?"
            rf"(?:{low}\s*{_TO}\s*|/\s*|out of\s*|of\s*|满分\s*){high}(?:{_END}|分)(?:\s*scale\b)?",
            re.I,
        )


_known = lru_cache(maxsize=64)(_Scale)


def _written(edge: float) -> str:
    return re.escape(f"{edge:g}") + (r"(?:\.0{1,2})?" if edge == int(edge) else "0?")


def score(text: str, *, alone: bool = False, scale: tuple[float, float] = (WORST, BEST)) -> ParsedScore:
    """One number, a range of two, or "N/A"; None if `text` is none of these, or not beyond doubt.

    `alone`: a number counts only if nothing follows it.
    """
    known = _known(*scale)
    value = strip_markup(_DRESS.sub("", _plain(text)))
    for _ in range(4):
        if na := _NA.match(value):
            rest = known.of_it.sub("", value[na.end() :])
            return None if _SCORED_AFTER_ALL.match(rest) else NOT_APPLICABLE_TEXT
        if dress := known.whole.match(value) or _HEDGE.match(value) or _TYPE.match(value):
            value = strip_markup(value[dress.end() :])
    match = known.value.match(value)
    if not match or (match["scale"] and _float(match["scale"]) != known.best):
        return None
    rest = known.of_it.sub("", value[match.end() :].lstrip("*_`\"'”’)]}\\"))
    rest = _SHARE.sub("", rest).rstrip("()[] ")
    if rest and alone:
        return None
    if rest not in ("", ".", "。") and (not _COMMENT.match(rest) or _SECOND_SCORE.search(rest)):
        return None
    numbers = tuple(_float(match[part]) for part in ("low", "high") if match[part])
    # below the scale stands 0 for the worst, but 0.875 is a share of something else
    odd = any(not known.lowest <= n <= known.highest or 0 < n < known.worst for n in numbers)
    odd |= numbers == (known.worst, known.best)  # the form to be filled in, copied
    return None if odd or numbers[-1] < numbers[0] else numbers


def winner(text: str) -> ParsedScore:
    """ "A", "B", "tie" or "N/A"; None if `text` names none of them, or not beyond doubt."""
    value = strip_markup(_plain(text).replace("*", ""))
    if _TIED.match(value):
        return TIE
    if _NA.match(value):
        return NOT_APPLICABLE_TEXT
    found = _NAMED.match(value)
    return {"A": A, "B": B}[(found["named"] or found["side"]).upper()] if found else None


def pair_values(
    text: str, side: str = "", *, alone: bool = False, scale: tuple[float, float] = (WORST, BEST)
) -> dict[str, ParsedScore]:
    """What a line says about A and B: scores under "a" and "b", and under "winner" who wins, if it says so.

    `side`: "a" or "b" if a heading before `text` names it, "ab" if it names both. A score that belongs to
    neither is left out.
    """
    line = _plain(text)
    found: dict[str, ParsedScore] = {}
    if named := _WINNER_BEHIND.search(line):
        found["winner"] = winner(line[named.end() :])
        line = line[: named.start()]
    ends = [(side, 0, 0)] if side in ("a", "b") else []
    for label in _OF_SIDE.finditer(line):
        if not ends or strip_markup(line[: label.start()]):
            ends.append((label["side"].lower(), label.start(), label.end()))
    if ends and not strip_markup(line[: ends[0][1]]) and [s for s, *_ in ends] in _ORDERS:
        stops = [*(start for _, start, _ in ends[1:]), len(line)]
        read = {
            s: score(_BETWEEN.sub("", line[end:stop]), alone=alone, scale=scale)
            for (s, _, end), stop in zip(ends, stops, strict=True)
        }
        if len(read) == 1 or None not in read.values():
            return read | found
    if side in ("a", "b"):
        return {side: score(line, alone=alone, scale=scale)} | found
    parts = (_EITHER if side == "ab" else _VERSUS).split(line)
    if len(parts) == 2 and not ends:
        return {s: score(part, alone=alone, scale=scale) for s, part in zip("ab", parts, strict=True)} | found
    na = score(line, alone=alone, scale=scale) == NOT_APPLICABLE_TEXT
    return dict.fromkeys(("a", "b"), NOT_APPLICABLE_TEXT) if na else {}


def comment(text: str) -> str:
    """The words after a value: "legs are missing" of "2.5 - legs are missing"."""
    return _NO_WORD.sub("", text, count=1).strip(" *_)")


def strip_markup(text: str) -> str:
    """The text without spaces, emphasis, quotes and brackets around it."""
    return text.strip().strip("*_`\"'“”‘’[]()（）【】 \t\u3000").strip()


def _plain(text: str) -> str:
    """The beginning of a line without full-width forms, fractions and invisible characters."""
    for fraction, decimals in _FRACTIONS.items():
        text = re.sub(rf"(?<=[0-9])\s?{fraction}", decimals, text[:200])
    return unicodedata.normalize("NFKC", text[:200]).translate(_INVISIBLE)


def _float(text: str) -> float:
    return float(text.replace(",", ".").replace("−", "-"))
