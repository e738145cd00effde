"""The headings of a critic's answer: one line -> heading or None, in any Markdown dress and numbering.

Knows the names of a profile's aspects, those of the protocol (answer_format.py), and their usual variants.
Whether a heading counts where it stands is not decided here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from ..judgement.answer_format import NAMES
from ..judgement.aspects import Aspect, Profile
from ..judgement.task import Task
from .scores import SCORES, SIDES, ParsedScore, pair_values, score, winner

UNKNOWN = "unknown"
"""The name of what looks like a heading, but is none of the protocol's."""

# how critics call the user's request, and what they do with it
_ASKED = r"(?:user(?:['’]?s)? )?(?:request|prompt|instruction|query)"
_ASKED_ZH = "(?:用户|编辑)?(?:请求|需求|指令|提示词?)"
_BETTER_ZH = "(?:优化|改进|修改|精炼|细化|润色|完善|修订|改写|调整)"
_MEDIUM = "(?:user |text |image |edit(?:ing)? |generation )?"
_KIND = "(?:(?:aspect|assigned|awarded|given|individual|numeric(?:al)?|my) )"
_GIVEN = "(?: (?:assigned|awarded|given|(?:for|of) this (?:aspect|criterion|dimension)))"
# variants of the protocol's names, as patterns; a blank stands for anything that may separate words
_VARIANTS = {
    "analysis": rf"{_ASKED} analysis|analysis of (?:the )?{_ASKED}|{_ASKED_ZH}的?(?:分析|解析|理解)",
    "judgement": "detailed (?:judge?ments?|judging|evaluation|assessment|comparison)"
    "|详细的?(?:评判|评估|评价|评审|判断|比较|对比|评分)",
    "justification": "reasoning|rationale|explanation|evidence|reason|analysis|comments?"
    "|(?:评分|打分|评判|判断|评价|评估|扣分)?(?:理由|依据|原因)|分析|说明|解释|评语|论证|论据",
    "score": f"{_KIND}?{SCORES}{_GIVEN}?|grade|(?:该项|本项|单项|我的)(?:评分|得分|分数|打分)|分值|评级",
    "summary": "(?:(?:overall|final) )?summary|conclusion|(?:综合)?总结|概述|概括|小结|结论|摘要",
    "refinement_comments": rf"(?:{_ASKED} )?refinement(?! request)(?: (?:comments?|suggestions?|notes?))?"
    rf"|{_BETTER_ZH}(?:意见|建议|说明)|{_ASKED_ZH}的?{_BETTER_ZH}",
    "refined_request": "(?:the )?(?:(?:final|suggested) )?(?:refined|revised|improved|optimi[sz]ed|enhanced"
    rf"|updated|rewritten|new|suggested|final) {_MEDIUM}(?:request|prompt|instruction|query|caption)"
    "|refinement request"
    rf"|(?:最终)?{_BETTER_ZH}(?:后的?|过的)?{_ASKED_ZH}",
}
_WINNERS = (
    *(NAMES["winner"], "Winning Image", "Better Image", "Preferred Image", "Preference"),
    *("胜者", "获胜者", "优胜者", "胜出者", "胜出", "赢家", "更优图像", "更好的图像"),
)


_BETWEEN = r"[\s_-]{1,60}"


def _spelled(name: str) -> str:
    """A pattern for a name in any case, with "and" or "&", and blanks, "_" or "-" between its words."""
    words = re.split(r"[\s_-]+", name.translate(_PLAIN).strip())
    pattern = _BETWEEN.join("(?:and|&)" if w.lower() in ("and", "&") else re.escape(w) for w in words)
    return pattern.replace(
        f"{_BETWEEN}(?:and|&){_BETWEEN}", f"(?:{_BETWEEN}(?:and|&){_BETWEEN}|[\\s_]?[/&+-][\\s_]?)"
    )


def _any(names: Iterable[str]) -> str:
    return "|".join(map(_spelled, sorted(names, key=len, reverse=True)))


def _side(letter: str) -> str:
    """A score of one side ("Score A", "Rating for Image A", "Image A's score"), or the side itself."""
    apart = r"[\s_-]{0,3}"
    of_side = rf"{SCORES}{apart}(?:(?:of|for)\s)?[(\[]?(?:{SIDES}{apart})?{letter}[)\]]?(?![^\W_])"
    sides_own = rf"(?:{SIDES}{apart})?{letter}(?:['’]s)?{apart}的?{SCORES}(?![^\W_])"
    alone = rf"(?:{SIDES}{apart}{letter}|(?-i:{letter}))(?![^\W_])"
    return rf"(?P<score_{letter.lower()}>{of_side}|{sides_own})|(?P<side_{letter.lower()}>{alone})"


# groups of the pattern that name a side too
_SIDED = {f"{kind}_{side}": (kind, side) for kind in ("score", "side") for side in ("a", "b", "ab")}

_HEAD = 160  # no heading is longer; bounds the work on one line
_MARKS = " \t#*_-+`•·●■◆►▶★✅【"
_NUMBER = re.compile(
    r"(?:(?:aspect|criterion|dimension)\s{0,2})?"
    r"[(\[]?(?:(?P<number>[0-9]{1,2})\s?(?:[.):、\]](?![0-9])|(?:\.[0-9]{1,2}){1,2}[.)]?\s(?=\W{0,3}[^\W\d]))"
    r"|(?P<circled>[①-⑳])|(?P<keycap>[0-9])\ufe0f?\u20e3"
    r"|(?-i:(?P<roman>I{1,3}|IV|VI{0,3}))[.)](?=\s)"
    r"|(?P<letter>[a-h])[.)](?=\s)|(?P<chinese>[一二三四五六七八九十])\s?[.)、])",
    re.I,
)
_PLAIN_NUMBER = re.compile(r"(?P<number>[0-9]{1,2})\s(?=[^\W\d])")  # only under a "#"
_COUNTED = re.compile(r"(?:aspect|criterion|dimension)\s{1,2}(?P<number>[0-9]{1,2})\s[-–—]\s", re.I)
# around an aspect's name: "Score for Text Faithfulness", "Text Faithfulness Assessment"
_SCORE_OF = re.compile(rf"{SCORES}\s(?:for|of)\s", re.I)
_SUFFIX = (
    r"(?:[\s_-]{1,3}(?:scores?|ratings?|justification|assessment|evaluation|quality)(?![a-z])"
    r"|(?:的|\s)?(?:评分|得分))?"
)
_ASIDE = re.compile(r"[*_\s]{0,4}[(\[](?P<aside>[^()\[\]]{0,40})[)\]]")
_SCORE_ASIDE = re.compile(
    r"(?:[0-9.,\s/–~-]|to|or|n/a|float|number|decimal|out of|评分|得分|分数|满分|分)+", re.I
)
_OUT_OF = r"(?:\s{0,3}/\s?|\s(?:out )?of\s)[0-9]{1,3}(?:\.0{1,2})?(?=[*_`\s\]】]{0,8}:)"
_SCALE = re.compile(_OUT_OF, re.I)
_COLON = re.compile(r"[*_`\s\]】]{0,8}:[*_]{0,3}\s*")
_OTHER_SIGN = re.compile(r"[*_`\s]{0,4}(?:[=-]>|=|→|\s[-–—]{1,2}\s)\s*")
_DASH = re.compile(r"[*_`]{0,3}(?:-|–|—{1,2})\s?")  # "Score-3.5"
_AT_ONCE = re.compile(r"\s?为?\s?:?\s?")  # "评分3.5", "评分为3.5"
_FINAL = re.compile(
    rf"(?:(?:the|my)\s)?final\s(?=(?:{SIDES}\s)?(?:[AB]\s)?{SCORES})|最终的?(?={SCORES})", re.I
)
# a Score in brackets, or its name alone
_BRACKETED = re.compile(r"[\s*_-]{0,6}[(\[](?P<inside>[^()\[\]]{3,80})[)\]](?:[\s*_.。]*$|[*_]{0,3}\s?:)")
_TAGGED = re.compile(r"\s*(?P<opens><(?P<tag>b|strong|em|u|i)>)[^<>]{1,60}(?P<closes></(?P=tag)>)", re.I)
_HASH = re.compile(r"\s*(?:#{1,6}\s|#{2,6})")
_TITLE = re.compile(r"(?=[^\W\d_])[^\s:.!?;。！？；]+(?: [^\s:.!?;。！？；]+){0,5}")
_LISTED = re.compile(r"\W*[0-9]{1,2}\s?[.)、:：](?![0-9])\s*\S")  # "1. The fox is red"
_BOLD_LABEL = re.compile(r"\s*(?:[-+•*]\s+)?(?:\*\*|__)[^*_:]{1,60}(?::\s*(?:\*\*|__)|(?:\*\*|__)\s*:)")

# one sign for one sign, so that places in the line stay what they are
_PLAIN = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_PLAIN |= dict.fromkeys(
    [*map(ord, "\u00a0\u1680\u202f\u205f\u3000\u00ad\ufeff"), *range(0x2000, 0x2010), 0x2060], " "
)
_PLAIN |= {ord("﹕"): ":", ord("\t"): " "}

# a section's own names; they come last in its pattern, so that they never hide a longer variant
_OWN_NAMES = {key: [NAMES[key]] for key in _VARIANTS}
_OWN_NAMES["refinement_comments"].append(NAMES["refinement"])
_SECTION = re.compile(
    "|".join(
        f"(?P<{key}>{variants.replace(' ', _BETWEEN)}|{_any(_OWN_NAMES[key])})"
        for key, variants in _VARIANTS.items()
    ),
    re.I,
)
_PAIR_SECTION = re.compile(
    rf"(?P<score_ab>{SCORES}\s{{0,3}}[(\[]?(?:{SIDES}\s?)?A\s?[/,&|]\s?(?:{SIDES}\s?)?B[)\]]?)"
    rf"|{_side('A')}|{_side('B')}|(?P<winner>{_any(_WINNERS)})|{_SECTION.pattern}",
    re.I,
)


@dataclass(frozen=True)
class Heading:
    """`name` is "aspect" (which is in `aspect`), a section of the protocol, "score", "winner", "side" or
    UNKNOWN; `side` is "a", "b" or "ab" if the heading names it; `rest` is the text after the heading."""

    name: str
    rest: str = ""
    level: int = 0  # how many "#" it has
    number: int | None = None
    bold: bool = False
    part: str = ""  # of an aspect: "score" or "justification" if that stands beside its name
    label: bool = False  # UNKNOWN only: a bold label before text, which may be part of a justification
    side: str = ""
    aspect: Aspect | None = None
    final: bool = False  # "Final Score": of an aspect, or of the whole

    @property
    def hashed(self) -> bool:
        """Whether it is under a "#"."""
        return self.level > 0

    @property
    def rank(self) -> int:
        """How high it stands: 0 without marks, 1 in bold type or with a number, more the fewer "#" it has."""
        return 8 - min(self.level, 6) if self.level else int(self.marked)

    @property
    def marked(self) -> bool:
        """Whether a "#", bold type or a number marks it as a heading."""
        return self.hashed or self.bold or self.number is not None


@lru_cache(maxsize=64)
def _names(aspects: tuple[Aspect, ...]) -> re.Pattern:
    """One pattern for all names of the aspects; the group's number tells which aspect, counted from 1."""
    patterns = [_any((a.name, *a.aliases, a.key)) for a in aspects]
    order = sorted(range(len(aspects)), key=lambda n: -len(aspects[n].name))
    return re.compile(f"(?:{'|'.join(f'(?P<_{n}>{patterns[n]})' for n in order)}){_SUFFIX}", re.I)


class Headings:
    """The headings of one task under one profile, and how to read the values after them."""

    def __init__(self, profile: Profile, task: str):
        self.pair = Task.parse(task).is_pair
        self.scale = profile.scale
        own = profile.aspects(task)
        # another task's aspects are headings too: what stands under them is no score of this task's
        others = {a.name: a for a in (*profile.t2i, *profile.edit)}
        self.aspects = (*own, *(a for name, a in others.items() if name not in {o.name for o in own}))
        self._names = _names(self.aspects)
        self._sections = _PAIR_SECTION if self.pair else _SECTION
        # an answer is read several times while it is written
        self._found = lru_cache(maxsize=512)(self._find)

    def find(self, line: str) -> Heading | None:
        """The heading that a line is, None for a line of content."""
        return self._found(line)

    def _find(self, line: str) -> Heading | None:
        head = line[:_HEAD]
        head = head.replace("\t", " ") if head.isascii() else head.translate(_PLAIN)
        if bracketed := _BRACKETED.match(head):
            start, end = bracketed.span("inside")
            found = self.find(f"{' ' * start}{line[start:end]} {line[end + 1 :]}")
            if found and found.name in ("score", "winner") and self._is_stated(found):
                return found
        if tagged := _TAGGED.match(head):
            for tag in ("opens", "closes"):  # as bold type, at the same length
                start, end = tagged.span(tag)
                bold = f"{'**':{end - start}}"
                head, line = (text[:start] + bold + text[end:] for text in (head, line))
        bare = head.lstrip(_MARKS)
        while bare[:1] > "\x7f" and unicodedata.category(bare[0]) == "So" and not _NUMBER.match(bare):
            bare = bare[1:].lstrip(f"{_MARKS}\ufe0f")
        marks = head[: len(head) - len(bare)]
        number = None
        plain = _COUNTED.match(bare) or ("#" in marks and _PLAIN_NUMBER.match(bare))
        if found := _NUMBER.match(bare) or plain:
            number = _count(found)
            marks, bare = marks + found[0], bare[found.end() :]
            marks, bare = marks + bare[: len(bare) - len(bare.lstrip(_MARKS))], bare.lstrip(_MARKS)
        dress = {"level": marks.count("#"), "number": number, "bold": marks[-1:] in ("*", "_", "【")}
        lead = _FINAL.match(bare)
        bare = bare[lead.end() :] if lead else bare
        written = line[len(head) - len(bare) :]
        names, of = self._names.match(bare), None
        if not names and (of := _SCORE_OF.match(bare)):
            names = self._names.match(bare, of.end())
        matches = [m for m in (None if lead else names, self._sections.match(bare)) if m]
        for name in sorted(matches, key=re.Match.end, reverse=True):  # "Score" is not "Score of Colours"
            group = name.lastgroup or ""
            aspect = self.aspects[int(group[1:])] if group.startswith("_") else None
            kind, side = ("aspect", "") if aspect else _SIDED.get(group, (group, ""))
            rest = self._rest(kind, side, bare, name.end(), written, marks)
            if rest is not None and aspect:
                part = _part(bare[name.end(group) : name.end()], of is not None)
                return Heading(kind, rest, part=part, aspect=aspect, **dress)
            if rest is not None:
                return Heading(kind, rest, side=side, final=lead is not None, **dress)
        return _unknown(head, bare, **dress)

    def values(
        self, text: str, name: str = "score", side: str = "", alone: bool = False
    ) -> dict[str, ParsedScore]:
        """What `text` after a heading says: for one image under "score"; for a pair under "a", "b" and
        "winner", as far as it says them."""
        if not self.pair:
            return {"score": score(text, alone=alone, scale=self.scale)}
        if name == "winner":
            return {"winner": winner(text)}
        return pair_values(text, side, alone=alone, scale=self.scale)

    def states(self, text: str, name: str = "score", side: str = "", alone: bool = False) -> bool:
        """Whether `text` holds values, all of them readable."""
        values = self.values(text, name, side, alone)
        return bool(values) and None not in values.values()

    def states_below(self, text: str, name: str, side: str = "") -> bool:
        """Whether a line below a heading that stands alone is its value, with or without words behind."""
        if self.states(text, name, side, alone=True):
            return True
        return not _LISTED.match(text) and self.states(text, name, side)

    def _is_stated(self, heading: Heading) -> bool:
        """Whether nothing but a value, or nothing at all yet, stands after a heading."""
        return not heading.rest or self.states(heading.rest, heading.name, heading.side)

    def _rest(self, name: str, side: str, bare: str, end: int, line: str, marks: str) -> str | None:
        """What follows a name, None if the name only starts a sentence. `bare` is the head of `line`."""
        plain, line = bare[end:], line[end:]
        start = 0
        if aside := _ASIDE.match(plain):
            note = aside["aside"]
            if name == "aspect" and re.search("[.,/]", note) and self.states(note, alone=True):
                return f"{note} - {line[aside.end() :].lstrip(' :：*_')}".strip(" -")  # "Name (3.5/4): words"
            if name == "score" and not _SCORE_ASIDE.fullmatch(note.strip()):
                return None  # "Score (Overall): 3.0"
            start = aside.end()
        if name == "score" and (scale := _SCALE.match(plain, start)):
            start = scale.end()
        if signed := _COLON.match(plain, start):
            return line[signed.end() :]
        valued = name in ("score", "winner", "side")
        if signed := _OTHER_SIGN.match(plain, start):
            rest = line[signed.end() :]
            if valued or (name == "aspect" and self.states(rest)):
                return rest
        for sign in (_DASH, _AT_ONCE) if valued else ():
            signed = sign.match(plain, start)
            usable = self.scale[0] >= 0 if sign is _DASH else "\u4e00" <= bare[end - 1] <= "\u9fff"
            if usable and signed and self.states(line[signed.end() :], name, side, alone=sign is _AT_ONCE):
                return line[signed.end() :]
        if plain[start : start + 1].isalnum():
            return None
        rest = line[start:].strip(" \t*_`#]】") if len(line) < 2 * _HEAD else line[start:]
        if not rest:
            return "" if marks.strip() or name == "aspect" else None
        if (valued or name == "aspect") and self.states(rest, name, side, alone=True):
            return rest
        return rest if "#" in marks and not valued else None


headings = lru_cache(maxsize=64)(Headings)
"""The headings for (profile, task), made once."""


def _unknown(head: str, bare: str, level: int, number: int | None, bold: bool) -> Heading | None:
    """A heading by its looks alone."""
    if _HASH.match(head):
        return Heading(UNKNOWN, level=level, number=number, bold=bold)
    title = _TITLE.match(bare)
    after = bare[title.end() :].strip(" *_】") if title else "."
    if number is not None and (after[:1] in ("", ":") or bold):
        return Heading(UNKNOWN, number=number, bold=bold)
    if bold and after in ("", ":"):
        return Heading(UNKNOWN, bold=True)
    if _BOLD_LABEL.match(head):
        return Heading(UNKNOWN, bold=True, label=True)
    return Heading(UNKNOWN) if after == ":" and bare[:1].isupper() else None


def _part(suffix: str, score_of: bool) -> str:
    """What of an aspect is under its heading, if the words around its name say that."""
    if score_of or re.search("score|rating|评分|得分", suffix, re.I):
        return "score"
    return "justification" if "just" in suffix.lower() else ""


def _count(found: re.Match) -> int:
    groups = found.groupdict()
    if groups.get("keycap"):
        return int(groups["keycap"])
    if groups.get("roman"):
        return ("I", "II", "III", "IV", "V", "VI", "VII", "VIII").index(groups["roman"]) + 1
    if groups.get("letter"):
        return ord(groups["letter"].lower()) - ord("a") + 1
    if groups.get("chinese"):
        return "一二三四五六七八九十".index(groups["chinese"]) + 1
    return int(groups["number"]) if groups["number"] else int(unicodedata.numeric(groups["circled"]))
