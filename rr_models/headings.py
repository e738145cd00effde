"""The headings of a critic's answer: one line -> heading or None, in whatever Markdown dress and numbering.

Knows the names of the protocol and their usual variants. Whether a heading counts where it stands is not
decided here.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from .critique import ASPECTS
from .values import score

ASPECT_NAMES = {aspect.name: aspect for aspects in ASPECTS.values() for aspect in aspects}
UNKNOWN = "unknown"
"""The name of what is made up like a heading, but belongs to nothing that the protocol knows."""

_ALIASES = {
    "analysis": ("User Request Analysis", "用户请求分析"),
    "judgement": (
        "Detailed Judgement",
        "Detailed Judgment",
        "Detailed Evaluation",
        "Detailed Assessment",
        "详细评判",
        "详细评估",
    ),
    "justification": ("Justification", "理由"),
    "score": ("Score", "Rating", "评分", "得分", "分数"),
    "summary": ("Summary", "总结"),
    "comments": ("User Request Refinement", "Refinement Comments", "修改意见"),
    "refined": (
        *("Refined Request", "Refined Prompt", "Refined Instruction", "Refined User Request"),
        *("Refined User Prompt", "Refined User Instruction", "优化后的请求", "改进后的请求"),
    ),
}
_CHINESE = {
    "Text Faithfulness": ("文本忠实度", "文本一致性"),
    "Image Faithfulness": ("图像忠实度", "图像一致性"),
    "Physical and Visual Quality": ("物理与视觉质量", "物理和视觉质量"),
    "Text Rendering": ("文字渲染", "文本渲染"),
}


def _spelled(name: str) -> str:
    return r"[\s_-]{1,3}".join("(?:and|&)" if word == "and" else word for word in name.split())


_NAMES = {name: "|".join(map(_spelled, names)) for name, names in _ALIASES.items()}
_NAMES |= {name: "|".join(map(_spelled, (name, *_CHINESE.get(name, ())))) for name in ASPECT_NAMES}
_NAME = re.compile("|".join(f"({pattern})" for pattern in _NAMES.values()), re.I)
_ORDER = tuple(_NAMES)

_HEAD = 160  # no heading is longer; bounds the work on one line
_MARKS = " \t#*_-+•【"
_NUMBER = re.compile(
    r"(?:(?:aspect|criterion|dimension)\s{0,2})?[(\[]?(?:(?P<number>[0-9]{1,2})\s?[.):、\]](?![0-9])|(?P<circled>[①-⑳])"
    r"|(?P<letter>[a-h])[.)](?=\s))",
    re.I,
)
_PLAIN_NUMBER = re.compile(r"(?P<number>[0-9]{1,2})\s(?=[^\W\d])")  # only under a "#"
_ASIDE = re.compile(r"[*_\s]{0,4}[(\[](?P<aside>[^()\[\]]{0,40})[)\]]")
_SCORE_ASIDE = re.compile(r"(?:[0-9.,\s/–~-]|to|or|n/a|float|number|decimal|out of|评分|得分|分数)+", re.I)
_COLON = re.compile(r"[*_`\s\]】]{0,8}:[*_]{0,3}\s*")
_OTHER_SIGN = re.compile(r"[*_`\s]{0,4}(?:=|\s[-–—]\s)\s*")
_HASH = re.compile(r"\s*(?:#{1,6}\s|#{2,6})")
_TITLE = re.compile(r"(?=[^\W\d_])[^\s:.!?;。！？；]+(?: [^\s:.!?;。！？；]+){0,5}")
_BOLD_LABEL = re.compile(r"\s*(?:[-+•*]\s+)?(?:\*\*|__)[^*_:]{1,60}(?::\s*(?:\*\*|__)|(?:\*\*|__)\s*:)")

# one sign for one sign, so that places in the line stay what they are
_PLAIN = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_PLAIN |= dict.fromkeys(
    [*map(ord, "\u00a0\u1680\u202f\u205f\u3000\u00ad\ufeff"), *range(0x2000, 0x2010), 0x2060], " "
)
_PLAIN |= {ord("﹕"): ":", ord("\t"): " "}


@dataclass(frozen=True)
class Heading:
    """`name` is an aspect's name, a key of the protocol's sections, or UNKNOWN; `rest` stands behind it."""

    name: str
    rest: str = ""
    hashed: bool = False  # under a "#"
    number: int | None = None
    bold: bool = False
    label: bool = False  # UNKNOWN only: a bold label in front of text, which may be part of a justification

    @property
    def marked(self) -> bool:
        """Whether more than its words makes it a heading."""
        return self.hashed or self.bold or self.number is not None


def heading(line: str) -> Heading | None:
    """The heading that a line is, None for a line of content."""
    head = line[:_HEAD].translate(_PLAIN)
    bare = head.lstrip(_MARKS)
    marks = head[: len(head) - len(bare)]
    number = None
    if found := _NUMBER.match(bare) or ("#" in marks and _PLAIN_NUMBER.match(bare)):
        number = _count(found)
        marks, bare = marks + found[0], bare[found.end() :]
        marks, bare = marks + bare[: len(bare) - len(bare.lstrip(_MARKS))], bare.lstrip(_MARKS)
    hashed = "#" in marks
    bold = marks[-1:] in ("*", "_", "【")
    if name := _NAME.match(bare):
        known = _ORDER[name.lastindex - 1]
        rest = _behind(known, bare[name.end() :], line[len(head) - len(bare) + name.end() :], marks)
        if rest is not None:
            return Heading(known, rest, hashed, number, bold)
    return _unknown(head, bare, hashed, number, bold)


def _behind(name: str, plain: str, line: str, marks: str) -> str | None:
    """What follows a name, None if the name only starts a sentence. `plain` is the head of `line`."""
    start = 0
    if aside := _ASIDE.match(plain):
        if name == "score" and not _SCORE_ASIDE.fullmatch(aside["aside"].strip()):
            return None  # "Score (Overall): 3.0"
        start = aside.end()
    if sign := _COLON.match(plain, start) or (name == "score" and _OTHER_SIGN.match(plain, start)):
        return line[sign.end() :]
    if plain[start : start + 1].isalnum():
        return None
    rest = line[start:].strip(" \t*_`#]】") if len(line) < 2 * _HEAD else line[start:]
    if not rest:
        return "" if marks.strip() or name in ASPECT_NAMES else None
    if name == "score":
        return rest if score(rest, alone=True) is not None else None
    return rest if "#" in marks else None


def _unknown(head: str, bare: str, hashed: bool, number: int | None, bold: bool) -> Heading | None:
    """A heading by its looks alone."""
    if _HASH.match(head):
        return Heading(UNKNOWN, hashed=True, number=number, bold=bold)
    title = _TITLE.match(bare)
    after = bare[title.end() :].strip(" *_】") if title else "."
    if number is not None and (after[:1] in ("", ":") or bold):
        return Heading(UNKNOWN, number=number, bold=bold)
    if bold and after in ("", ":"):
        return Heading(UNKNOWN, bold=True)
    if _BOLD_LABEL.match(head):
        return Heading(UNKNOWN, bold=True, label=True)
    return Heading(UNKNOWN) if after == ":" and bare[:1].isupper() else None


def _count(found: re.Match) -> int:
    groups = found.groupdict()
    if groups.get("letter"):
        return ord(groups["letter"].lower()) - ord("a") + 1
    return int(groups["number"]) if groups["number"] else int(unicodedata.numeric(groups["circled"]))
