"""What stands behind a critic's headings: a score as written -> number, a refined request -> prompt.

A score is read only where no other reading is sensible: a number with words right behind it ("2 legs are
wrong"), a second number, a sign, an arrow or a foreign scale make it unreadable (None), never a guess.
All patterns look at short, bounded stretches, so time stays linear in the length of the text.
"""

from __future__ import annotations

import re
import unicodedata

from .critique import BEST, WORST

NOT_A_NUMBER = "N/A"
_FAR = 5.0  # a number beyond this was meant on another scale

_NA = re.compile(
    r"(?:n\s?/\s?a\b|not applicable\b|does(?: not|n't) apply\b|不适用)"
    r"|(?:n\.\s?a\.?|na|none|无)(?=\s*(?:$|[.,;:!(\[，。；（]|[-–—]\s))",
    re.I,
)
_HEDGE = re.compile(
    r"(?:(?:approximately|approx\.?|about|around|roughly|circa|between|score|约|大约)(?![a-z])|[~≈=:](?!~))\s*",
    re.I,
)
_TYPE = re.compile(r"[\[(]?\s*(?:float|number|decimal)\s*[\])]?\s*:?\s*|\+(?=[0-9])|\\boxed\{", re.I)
_FLOAT = r"[0-9]{1,9}(?:[.,][0-9]{1,30})?"
_TO = "(?:-|–|—|−|~|to|至|到)"
_WHOLE_SCALE = re.compile(
    rf"[\[(]?\s*(?:float\s*)?1(?:\.0)?\s*{_TO}\s*4(?:\.0)?(?![\w%]|[.,][0-9])"
    r"(?:[^\])0-9]{0,40}[\])]|\s*scale)?\s*[:=]?\s*",
    re.I,
)
_VALUE = re.compile(
    rf"(?P<low>{_FLOAT})(?:\s*(?:{_TO}|and)\s*(?P<high>{_FLOAT}))?"
    rf"(?:\s*(?:/|⁄|out of|of)\s*(?P<scale>{_FLOAT}))?(?:\s*(?:points?|stars?|分)(?!\w))?(?![\w%]|[.,][0-9])",
    re.I,
)
_OF_THE_SCALE = re.compile(
    rf"(?:1(?:\.0)?\s*{_TO}\s*|/\s*|out of\s*|of\s*)4(?:\.0)?(?![\w%]|[.,][0-9])", re.I
)
_COMMENT = re.compile(r"\s*(?:[,;.:。]|\s[-–—]\s|[–—]|[(\[])(?!\s*[-+]?[0-9])|\s*[(\[][0-9]+\s+[a-z]", re.I)
_SECOND_SCORE = re.compile(r"(?<![0-9])[0-9][.,][0-9]|[0-9]\s*/\s*[0-9]|->|=|→")

_WRAPS = (("`", "`"), ("**", "**"), ("*", "*"), ("__", "__"), ("_", "_"), ('"', '"'), ("'", "'"))
_WRAPS += (("“", "”"), ("‘", "’"), ("„", "“"), ("«", "»"), ("「", "」"), ("『", "』"), ("[", "]"), ("(", ")"))
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "『": "』"}
_LABEL = re.compile(
    r"[*_#\s]{0,8}refined (?:user )?(?:request|prompt|instruction)[*_\s]{0,4}[:：][*_]{0,3}\s*"
    r"|(?:sure|certainly|of course)?[,.!]?\s{0,4}here(?: is|'s|’s)[^:\n]{0,60}:\s*",
    re.I,
)
_REMARK = re.compile(
    r"[*_(\[ \t]{0,8}(?:(?:note|explanation|rationale|reasoning|remark|justification|verdict)s?"
    r"|(?:(?:key|main) )?(?:changes|improvements|modifications)(?: made)?|why (?:this|it) works"
    r"|(?:overall|final) (?:score|rating|verdict)|说明|注|备注)[*_ \t]{0,4}[:：]"
    r"|[ \t]*(?:(?:-{3,}|\*{3,}|_{3,})[ \t]*$|```)",
    re.I,
)
_FENCE = re.compile(r"^[ \t]*```[a-z]{0,12}[ \t]*$", re.I | re.M)
_TAG = re.compile(r"</?(?:answer|output|response|refined_request)>", re.I)
_MARKER = re.compile(r"[ \t]*(?:>[ \t]?|[-+*•][ \t]+|[0-9]{1,2}[.)][ \t]+)")
_ABOUT = re.compile(
    r"\s*[-–—:,]?\s*(?:\([^()]*\)\W*$|\[[^\[\]]*\]\W*$|(?:this|these|here|i|it|note|which|adds?|added"
    r"|adding|changes?|because|the (?:new|refined|revised|changes?|request|prompt))\b)"
    r"|[ \t]*\n\s*(?:\n|(?-i:[(*\[]{0,3}[A-Z]))",
    re.I,
)
_NO_PROMPT = re.compile(
    r"\W{0,4}(?:n\s?/\s?a\b|not applicable\b|(?:none|null|nil|无|na|same|unchanged)\W*$|none needed\b"
    r"|no (?:\w+ ){0,2}(?:refinements?|changes?|revisions?|improvements?|modifications?|edits?|adjustments?)"
    r"(?: \w+){0,3}? ?(?:needed|necessary|required|\W*$)"
    r"|(?:not|nothing) (?:needed|necessary|required|to (?:change|refine))\b|(?:无需|不需要)"
    r"|same as (?:the )?(?:original|request|before)|keep the (?:original|request|prompt)\W*(?:as|unchanged|$)"
    r"|the (?:original |current |user )*(?:request|prompt) "
    r"(?:is|was|needs no|does not need|can stay|remains)\b"
    r"|the whole new request\W*$|(?:the )?refined (?:user )?(?:request|prompt)\W*$)",
    re.I,
)
REFUSAL = re.compile(
    r"(?:unfortunately,? )?(?:(?:i(?: a|['’]?)m )?(?:sorry\b|unable\b|not able\b)|i apologi[sz]e|"
    r"i can(?:['’]?t|not| not)\b|i (?:won['’]?t|will not)\b|as an ai\b|抱歉|对不起|我?无法)",
    re.I,
)


def score(text: str, *, alone: bool = False) -> tuple[float, ...] | str | None:
    """One number, a range of two, or "N/A"; None if `text` is nothing of the kind, or not beyond doubt.

    `alone`: a number counts only if nothing stands behind it.
    """
    value = bare(unicodedata.normalize("NFKC", text[:200]))
    if na := _NA.match(value):
        return None if _SECOND_SCORE.search(_OF_THE_SCALE.sub("", value[na.end() :])) else NOT_A_NUMBER
    value = _WHOLE_SCALE.sub("", value, count=1) if _WHOLE_SCALE.match(value) else value
    for _ in range(3):
        value = bare(value)
        if dress := _HEDGE.match(value) or _TYPE.match(value):
            value = value[dress.end() :]
    match = _VALUE.match(value)
    if not match or (match["scale"] and _float(match["scale"]) != BEST):
        return None
    behind = _OF_THE_SCALE.sub("", value[match.end() :].lstrip("*_`\"'”’)]}")).rstrip("()[] ")
    if behind and alone:
        return None
    if behind not in ("", ".", "。") and (not _COMMENT.match(behind) or _SECOND_SCORE.search(behind)):
        return None
    numbers = tuple(_float(match[part]) for part in ("low", "high") if match[part])
    # below the scale stands 0 for the worst, but 0.875 is a share of something else
    if max(numbers) > _FAR or any(0 < number < WORST for number in numbers) or numbers[-1] < numbers[0]:
        return None
    return numbers


def prompt(refined: str) -> str:
    """The request alone: no label, remark, quote, fence or bracket around it; "" if there is none."""
    refined = _own_lines(_TAG.sub("\n", refined).strip() if "<" in refined else refined.strip())
    for _ in range(4):  # a bold quote in brackets behind a label is as deep as anyone goes
        before = refined
        if label := _LABEL.match(refined):
            refined = refined[label.end() :].strip()
        refined = _unwrapped(_unquoted(_unmarked(refined)))
        if refined == before:
            break
    empty = not re.search(r"\w", refined) or _NO_PROMPT.match(refined) or REFUSAL.match(refined)
    return "" if empty else refined


def bare(text: str) -> str:
    """Without blanks, emphasis, quotes and brackets around it."""
    return text.strip().strip("*_`\"'“”‘’[]()（）【】 \t\u3000").strip()


def _float(text: str) -> float:
    return float(text.replace(",", "."))


def _own_lines(text: str) -> str:
    """Only what is in the fence, or before the remark."""
    fences = list(_FENCE.finditer(text))
    if fences:
        head = text[: fences[0].start()].strip()
        if head and not head.endswith((":", "：")):
            text = head
        else:
            text = text[fences[0].end() : fences[1].start() if len(fences) > 1 else len(text)].strip()
    elif text.startswith("```"):
        text = text[3:].partition("```")[0].strip()
    lines = text.split("\n")
    end = next((n for n, line in enumerate(lines) if n and _REMARK.match(line)), len(lines))
    return "\n".join(lines[:end]).strip()


def _unmarked(text: str) -> str:
    """Without the marks of a Markdown quote or list, if it starts as one."""
    if not _MARKER.match(text):
        return text
    return "\n".join(_MARKER.sub("", line, count=1) for line in text.split("\n")).strip()


def _unquoted(text: str) -> str:
    """The quote that it opens with, if what follows is talk about it: `"A fox." (adds detail)`."""
    dress = len(text) - len(text.lstrip("*_"))
    closing = _QUOTES.get(text[dress : dress + 1])
    end = text.find(closing, dress + 1) if closing else -1
    if end < 0:
        return text
    quote, behind = text[dress + 1 : end].strip(), text[end + 1 :].lstrip("*_.")
    whole = len(quote.split()) > 3 or quote.endswith((".", "。"))  # rather than the words on a sign
    return quote if whole and behind.strip() and _ABOUT.match(behind) else text


def _unwrapped(text: str) -> str:
    for opening, closing in _WRAPS:
        inner = text[len(opening) : -len(closing)]
        if (
            len(text) > len(opening) + len(closing)
            and text.startswith(opening)
            and text.endswith(closing)
            and opening not in inner
            and closing not in inner
        ):
            return inner.strip()
    return text
