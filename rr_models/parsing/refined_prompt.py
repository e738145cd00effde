"""The refined request of an answer without everything around it; and whether a critic refused to judge.

All patterns look at short, bounded stretches or go through the text once: time is linear in its length.
"""

from __future__ import annotations

import re

_WRAPS = (("`", "`"), ("**", "**"), ("*", "*"), ("__", "__"), ("_", "_"), ('"', '"'), ("'", "'"))
_WRAPS += (("“", "”"), ("‘", "’"), ("„", "“"), ("«", "»"), ("「", "」"), ("『", "』"), ("[", "]"), ("(", ")"))
_WRAPS = (('"""', '"""'), *_WRAPS, ("（", "）"), ("【", "】"))
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "『": "』"}
_DOUBLE = '"“”„'
_LABEL = re.compile(
    r"[*_#\s]{0,8}(?:the )?(?:(?:refined|revised|improved|new|final|suggested|optimi[sz]ed|updated|user|image"
    r"|edit(?:ing)?) ){0,2}(?:request|prompt|instruction)(?: is)?[*_\s]{0,4}[:：][*_]{0,3}\s*"
    r"|(?:sure|certainly|of course)?[,.!]?\s{0,4}here(?: is|'s|’s)[^:\n]{0,60}:\s*",
    re.I,
)
_REMARK = re.compile(
    r"[*_(\[（> \t]{0,8}(?:(?:note|explanation|rationale|reasoning|reason|remark|justification|verdict)s?"
    r"(?: (?:of|for) (?:the )?changes)?|(?:(?:key|main) )?(?:changes|improvements|modifications)(?: made)?"
    r"|why (?:this|it) works|what (?:has )?changed|n\.?b\.?|p\.?s\.?"
    r"|(?:overall|final) (?:score|rating|verdict)|说明|注|备注)[*_ \t]{0,4}[:：]"
    r"|[ \t]*(?:(?:-{3,}|\*{3,}|_{3,})[ \t]*$|```)"
    r"|[*_(\[]{0,2}(?:(?:this|the|these) (?:(?:new|refined|revised|improved) )*(?:request|prompt|instruction"
    r"|version|change)s?\b(?! (?:shows?|depicts?|features?)\b)|(?:i )?hope (?:this|it) helps|let me know\b"
    r"|end of (?:the )?(?:critique|evaluation|answer|judge?ment)\b)",
    re.I,
)
_LAST_NOTE = re.compile(r"\s+[(\[（](?:note|changes?|注)\s?[:：][^()\[\]（）]{0,300}[)\]）]$", re.I)
_FENCE = re.compile(r"^[ \t]*```[a-z]{0,12}[ \t]*$", re.I | re.M)
_TAG = re.compile(
    r"</?(?:answer|output|response|prompt|request|refined_request)>|<br ?/?>$|<\|(?:im_end|endoftext)\|>",
    re.I,
)
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
    r"|keep (?:it )?as (?:it )?is\W*$|the whole new request\W*$"
    r"|(?:the |your )?refined (?:user )?(?:request|prompt)(?: here)?\W*$)",
    re.I,
)
_REFUSAL = re.compile(
    r"(?:unfortunately,? |regrettably,? )?"
    r"(?:(?:i(?: a|['’]?)m )?(?:(?:very |so |deeply )?sorry\b|unable\b|not able\b)"
    r"|i(?: a|['’]?)m (?:afraid|not comfortable)\b|i apologi[sz]e|my apologies|apologies,"
    r"|i can(?:['’]?t|not| not)\b|can(?:['’]?t|not) (?:help|assist|comply|judge|evaluate|rate|provide)\b"
    r"|i (?:won['’]?t|will not|refuse to|decline to)\b"
    r"|i(?:['’]m going to| will|['’]ll)? (?:must|have to) (?:decline|refuse)|i(?: would|['’]d) rather not\b"
    r"|i (?:do not|don['’]?t) feel comfortable|as an ai\b|it is(?: not|n['’]t) possible for me\b"
    r"|很?抱歉|对不起|很遗憾|作为(?:一个|一名)?\s?(?:ai|人工智能)|我?无法|我不能)",
    re.I,
)
_DECLINED = re.compile(
    r"\bi (?:can(?:['’]?t|not| not)|(?:am |['’]m )?(?:unable|not able) to|won['’]?t|will not)\b"
    r"|\b(?:must|have to) (?:decline|refuse)\b|\bi (?:refuse|decline) to\b"
    r"|(?:request|evaluation) (?:has been|was|is) declined"
    r"|\b(?:against|violates?) (?:\w+ ){0,3}(?:guidelines|polic(?:y|ies))"
    r"|\bcannot be (?:processed|judged|evaluated|assessed|completed)\b"
    r"|\bunable to (?:judge|assess|evaluate|provide|score|rate|comply|assist)"
    r"|\bno (?:image|picture)s? (?:was|were|is|are|has been|have been)? ?(?:provided|attached|uploaded|given)"
    r"|\b(?:don['’]?t|do not|cannot|can['’]?t) see (?:an|any|the) (?:image|picture)"
    r"|\bplease (?:provide|upload|attach|share) (?:the|an|a|your) (?:image|picture)"
    r"|(?:无法|不能)(?:评|提供|协助|满足|完成|对|回答|处理|判断)|没有(?:看到|提供)(?:任何)?(?:图像|图片)",
    re.I,
)


def prompt(refined: str) -> str:
    """The request alone: no label, remark, quote, fence or bracket around it; "" if there is none."""
    refined = _own_lines(_TAG.sub("\n", refined).strip() if "<" in refined else refined.strip())
    for _ in range(4):  # a bold quote in brackets after a label is the deepest nesting seen
        before = refined
        if label := _LABEL.match(refined):
            refined = refined[label.end() :].strip()
        refined = _unwrapped(_unquoted(_unmarked(refined)))
        if refined == before:
            break
    empty = not re.search(r"\w", refined) or _NO_PROMPT.match(refined) or _REFUSAL.match(refined)
    return "" if empty else refined


def refuses(text: str) -> bool:
    """Whether a text without any judgement says that there will be none."""
    opening = text.lstrip(" \t\n*_#>\"'“").replace("\n", " ")[:600]
    return bool(_REFUSAL.match(opening) or _DECLINED.search(opening))


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
    return _LAST_NOTE.sub("", "\n".join(lines[:end]).strip())


def _unmarked(text: str) -> str:
    """Without the marks of a Markdown quote or list, if it starts as one."""
    if not _MARKER.match(text):
        return text
    return "\n".join(_MARKER.sub("", line, count=1) for line in text.split("\n")).strip()


def _unquoted(text: str) -> str:
    """The quote that it opens with, if what follows is a remark on it: `"A fox." (adds detail)`."""
    dress = len(text) - len(text.lstrip("*_"))
    closing = _QUOTES.get(text[dress : dress + 1])
    end = text.find(closing, dress + 1) if closing else -1
    if end < 0:
        return text
    quote, rest = text[dress + 1 : end].strip(), text[end + 1 :].lstrip("*_.")
    sentence = len(quote.split()) > 3 or quote.endswith((".", "。"))  # rather than the words on a sign
    ended = text.endswith((".", "。")) and not rest
    return quote if sentence and (ended or (rest.strip() and _ABOUT.match(rest))) else text


def _unwrapped(text: str) -> str:
    """The text without one pair of marks around all of it, or half a pair."""
    for opening, closing in _WRAPS:
        inner = text[len(opening) : -len(closing)]
        around = text.startswith(opening) and text.endswith(closing) and len(text) > len(opening + closing)
        if around and (
            not (opening in inner or closing in inner) or (opening == closing and _nested(inner, opening))
        ):
            return inner.strip()
    quotes = [sign for sign in text if sign in _DOUBLE]
    if len(quotes) == 2 and text[0] in _DOUBLE and text[-1] in _DOUBLE:
        return text[1:-1].strip()  # a straight one and a curly one
    if len(quotes) == 1 and text[0] in _DOUBLE:
        return text[1:].strip()
    ended = len(quotes) == 1 and text[-1] in _DOUBLE and text[-2:-1] in (*".!?。！？",)
    return text[:-1].strip() if ended else text


def _nested(inner: str, mark: str) -> bool:
    """Whether all quotes within others open and close there: `a sign "OPEN" hangs`, not `OPEN" and "SHUT`.
    A single quote may also be an apostrophe."""
    if mark not in ('"', "'"):
        return False
    if mark == "'":
        inner = re.sub(r"(?<=\w)'(?=\w)", "", inner)
    positions = [index for index, character in enumerate(inner) if character == mark]
    before = f" {inner}"  # before[n] is the character before inner[n]
    opens = all(before[index].isspace() or before[index] in "([" for index in positions[::2])
    closes = all(not before[index].isspace() for index in positions[1::2])
    return len(positions) % 2 == 0 and opens and closes
