"""Turn a critique's refined request into the next prompt for one's generator. Pure text work.

The critic writes for a reader; a generator may need fixed words around it, terms that must not be lost, tags
instead of sentences, or a shorter text. Whatever is changed, missing or just the same is said in the notes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..judgement.critique import Critique
from .protected_terms import Placeholders, holds, prompt_syntax
from .shorten import clauses, content, count_words, estimate_tokens, sentences, shorten

SENTENCES, TAGS = "sentences", "tags"
FORMS = (SENTENCES, TAGS)
REPLACE, APPEND = "replace", "append"
MERGES = (REPLACE, APPEND)

_ARTICLE = re.compile(r"\A(?:there (?:is|are) )?(?:an?|the|some) ", re.IGNORECASE)
# where a list of things in a sentence goes on: "a cat and a dog" is two tags, "black and white" is one
_TAG_END = re.compile(
    r"[,;.!?](?=\s|$)|[，；。！？、\n]|\s(?:and|with|while)\s+(?=(?:an?|the|one|two|three)\s)"
)


@dataclass(frozen=True)
class Revision:
    """The next prompt, what was done to get it, and what is new in it against the last one, in words."""

    prompt: str
    notes: tuple[str, ...] = ()
    difference: str = ""


def revise(
    critique: Critique,
    *,
    prefix: str = "",
    suffix: str = "",
    keep: Sequence[str] = (),
    max_words: int = 0,
    max_tokens: int = 0,
    count_tokens: Callable[[str], int] = estimate_tokens,
    form: str = SENTENCES,
    merge: str = REPLACE,
    last: str = "",
) -> Revision:
    """The next prompt: prefix, refined request (cut to the limits), kept terms that it lost, suffix.

    `keep` and whatever of the request means something to programs (see kept.syntax) stand in the prompt word
    for word. `max_words` and `max_tokens` (0: no limit; `count_tokens` counts) bound the whole prompt and are
    met by shortening the refined request alone, see shorten.py; relevant is what the request or the
    refinement comments speak of. `form` "tags" makes comma tags of it. `merge` "append" keeps the `last`
    prompt (by default the request) and adds only those sentences that have something new.
    """
    for name, value, choices in (("form", form, FORMS), ("merge", merge, MERGES)):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    for name, limit in (("max_words", max_words), ("max_tokens", max_tokens)):
        if limit < 0:
            raise ValueError(f"{name} must be 0 (no limit) or more, not {limit}.")
    notes = []
    request, refined = critique.request.strip(), critique.refined_request.strip()
    prefix, suffix, last = prefix.strip(), suffix.strip(), last.strip() or request
    if not refined:
        notes.append("The critic gave no refined request; the request itself is used again.")
        refined = request
    elif _same(refined, request):
        notes.append("The refined request is the request unchanged.")

    terms = tuple(dict.fromkeys([*keep, *prompt_syntax(request)]))
    masks = Placeholders(refined, terms)
    split = clauses if form == TAGS else sentences
    text = _tags(masks.text) if form == TAGS else masks.text
    if merge == APPEND:
        text = _news(split(text), last, masks)
        if not text:
            notes.append("The refined request says nothing that the last prompt does not.")
        # the last prompt has them already, unless it is the request
        before = last.removeprefix(prefix).removesuffix(suffix).strip()
        if text and form == SENTENCES and re.search(r"\w\Z", before):
            before += "."
        prefix = _joined([prefix, before], form)

    def whole(part: str, missing: Sequence[str]) -> str:
        return _joined([prefix, _with_terms(masks.plain(part), missing), suffix], form)

    def fits(part: str, missing: Sequence[str]) -> bool:
        prompt = whole(part, missing)
        within = not max_words or count_words(prompt) <= max_words
        return within and (not max_tokens or count_tokens(prompt) <= max_tokens)

    topic = content(f"{request} {critique.refinement_comments}")

    def relevance(part: str, missing: Sequence[str]) -> float:
        # a kept term that goes with its sentence has to be added again
        dear = masks.holds(part, set(terms).difference(missing))
        return len(content(masks.plain(part)) & topic) + 1000 * dear

    missing: list[str] = []
    while True:
        short = shorten(text, partial(fits, missing=missing), partial(relevance, missing=missing), split)
        prompt = whole(short, missing)
        lost = [term for term in terms if term in missing or not holds(prompt, term)]
        if lost == missing:
            break
        # it only grows from turn to turn, so this ends
        missing = lost

    limits = [f"{max_words} words"] * bool(max_words) + [f"{max_tokens} tokens"] * bool(max_tokens)
    if short != text:
        long, now = (count_words(masks.plain(part)) for part in (text, short))
        notes.append(f"Shortened from {long} to {now} words to fit {' and '.join(limits)}.")
    if max_tokens:
        about = "about " * (count_tokens is estimate_tokens)
        notes.append(f"The prompt has {about}{count_tokens(prompt)} tokens.")
    if not fits(short, missing):
        notes.append(f"What must be kept alone is longer than {' and '.join(limits)}.")
    restored = [term for term in masks.restored if term not in missing]
    there = [term for term in terms if term not in missing and term not in restored]
    for what, told in (("there", there), ("written as they were", restored), ("added", missing)):
        if told:
            notes.append(f"Kept terms {what}: {', '.join(told)}.")
    difference = _difference(last, prompt)
    if not difference:
        notes.append("The prompt is the last one unchanged: only a new seed can make another picture.")
    return Revision(prompt, tuple(notes), difference)


def _with_terms(text: str, missing: Sequence[str]) -> str:
    # those that stand in another one come with it
    outer = [term for term in missing if not any(term != other and holds(other, term) for other in missing)]
    return ", ".join([*filter(None, [text.rstrip(" .。,，")]), *outer]) if outer else text


def _joined(parts: Sequence[str], form: str) -> str:
    if form == TAGS:
        return ", ".join(filter(None, (part.strip(" ,，") for part in parts)))
    return " ".join(filter(None, parts))


def _tags(text: str) -> str:
    """Comma tags: the things that the text lists, without articles and full stops, each once."""
    tags = (_ARTICLE.sub("", piece.strip(), count=1) for piece in _TAG_END.split(text))
    return ", ".join(dict.fromkeys(filter(None, tags)))


def _news(parts: Sequence[str], last: str, masks: Placeholders) -> str:
    """Those sentences, or tags, that say something which the last prompt does not."""
    known = content(last)
    new = [part for part in parts if content(masks.plain(part)) - known]
    return "".join(new).strip(" \n,，")


def _difference(last: str, prompt: str) -> str:
    """What is new and what is gone, word by word; empty if the two say the same."""
    old, new = last.split(), prompt.split()
    changes = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = " ".join(old[a:b]), " ".join(new[c:d])
        if kind != "equal":
            changes.append(f"+ {come}" if not gone else f"- {gone}" if not come else f"{gone} → {come}")
    return "\n".join(changes)


def _same(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()
