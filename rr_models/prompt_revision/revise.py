"""Turn a critique's refined request into the next prompt for a generator. Pure text work.

The critic writes for people; a generator may need a fixed prefix or suffix, terms that must not get lost,
tags instead of sentences, or a shorter text. The notes report every change.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..judgement.critique import Critique
from .protected_terms import Placeholders, contains_term, prompt_syntax
from .shorten import clauses, content_words, count_words, estimate_tokens, sentences, shorten

SENTENCES, TAGS = "sentences", "tags"
STYLES = (SENTENCES, TAGS)
REPLACE, APPEND = "replace", "append"
MODES = (REPLACE, APPEND)

_ARTICLE = re.compile(r"\A(?:there (?:is|are) )?(?:an?|the|some) ", re.IGNORECASE)
# where the next item of a list in a sentence begins: "a cat and a dog" is two tags, "black and white" is one
_TAG_END = re.compile(
    r"[,;.!?](?=\s|$)|[，；。！？、\n]|\s(?:and|with|while)\s+(?=(?:an?|the|one|two|three)\s)"
)


@dataclass(frozen=True)
class Revision:
    """The next prompt, notes on how it was made, and what differs from the last prompt, a line per change."""

    prompt: str
    notes: tuple[str, ...] = ()
    difference: str = ""


def revise(
    critique: Critique,
    *,
    prefix: str = "",
    suffix: str = "",
    protected_terms: Sequence[str] = (),
    max_words: int = 0,
    max_tokens: int = 0,
    count_tokens: Callable[[str], int] = estimate_tokens,
    style: str = SENTENCES,
    mode: str = REPLACE,
    last_prompt: str = "",
) -> Revision:
    """The next prompt: prefix, refined request (cut to the limits), protected terms that it lacks, suffix.

    `protected_terms`, and whatever of the request is prompt syntax (see protected_terms.py), appear in the
    prompt word for word. `max_words` and `max_tokens` (0: no limit; `count_tokens` counts) limit the complete
    prompt; only the refined request is shortened (see shorten.py), keeping what the request or the refinement
    comments mention. `style` "tags" turns it into comma-separated tags. `mode` "append" keeps `last_prompt`
    (by default the request) and adds only the sentences that have something new.
    """
    for name, value, choices in (("style", style, STYLES), ("mode", mode, MODES)):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    for name, limit in (("max_words", max_words), ("max_tokens", max_tokens)):
        if limit < 0:
            raise ValueError(f"{name} must be 0 (no limit) or more, not {limit}.")
    notes = []
    request, refined = critique.request.strip(), critique.refined_request.strip()
    prefix, suffix, last_prompt = prefix.strip(), suffix.strip(), last_prompt.strip() or request
    if not refined:
        notes.append("The critic gave no refined request; the request itself is used again.")
        refined = request
    elif _same(refined, request):
        notes.append("The refined request is the request unchanged.")

    terms = tuple(dict.fromkeys([*protected_terms, *prompt_syntax(request)]))
    placeholders = Placeholders(refined, terms)
    split = clauses if style == TAGS else sentences
    text = _tags(placeholders.text) if style == TAGS else placeholders.text
    if mode == APPEND:
        text = _new_parts(split(text), last_prompt, placeholders)
        if not text:
            notes.append("The refined request adds nothing to the last prompt.")
        # the last prompt has prefix and suffix already, unless it is the request
        kept = last_prompt.removeprefix(prefix).removesuffix(suffix).strip()
        if text and style == SENTENCES and re.search(r"\w\Z", kept):
            kept += "."
        prefix = _joined([prefix, kept], style)

    def complete(part: str, missing: Sequence[str]) -> str:
        return _joined([prefix, _with_terms(placeholders.restore(part), missing), suffix], style)

    def fits(part: str, missing: Sequence[str]) -> bool:
        prompt = complete(part, missing)
        within = not max_words or count_words(prompt) <= max_words
        return within and (not max_tokens or count_tokens(prompt) <= max_tokens)

    topic = content_words(f"{request} {critique.refinement_comments}")

    def relevance(part: str, missing: Sequence[str]) -> float:
        # a protected term that is dropped with its sentence has to be added again
        protects = placeholders.any_in(part, set(terms).difference(missing))
        return len(content_words(placeholders.restore(part)) & topic) + 1000 * protects

    missing: list[str] = []
    while True:
        short = shorten(text, partial(fits, missing=missing), partial(relevance, missing=missing), split)
        prompt = complete(short, missing)
        still_missing = [term for term in terms if term in missing or not contains_term(prompt, term)]
        if still_missing == missing:
            break
        # the list only grows, so this ends
        missing = still_missing

    limits = [f"{max_words} words"] * bool(max_words) + [f"{max_tokens} tokens"] * bool(max_tokens)
    if short != text:
        before, after = (count_words(placeholders.restore(part)) for part in (text, short))
        notes.append(f"Shortened from {before} to {after} words to fit {' and '.join(limits)}.")
    if max_tokens:
        about = "about " * (count_tokens is estimate_tokens)
        notes.append(f"The prompt has {about}{count_tokens(prompt)} tokens.")
    if not fits(short, missing):
        notes.append(f"The parts that must stay are longer than {' and '.join(limits)}.")
    restored = [term for term in placeholders.restored if term not in missing]
    present = [term for term in terms if term not in missing and term not in restored]
    for outcome, listed in (("present", present), ("restored", restored), ("added", missing)):
        if listed:
            notes.append(f"Protected terms {outcome}: {', '.join(listed)}.")
    difference = _difference(last_prompt, prompt)
    if not difference:
        notes.append("The prompt is the last one unchanged: only a new seed can give another image.")
    return Revision(prompt, tuple(notes), difference)


def _with_terms(text: str, missing: Sequence[str]) -> str:
    # a term that is part of another missing one comes with it
    outer = [
        term for term in missing if not any(term != other and contains_term(other, term) for other in missing)
    ]
    return ", ".join([*filter(None, [text.rstrip(" .。,，")]), *outer]) if outer else text


def _joined(parts: Sequence[str], style: str) -> str:
    if style == TAGS:
        return ", ".join(filter(None, (part.strip(" ,，") for part in parts)))
    return " ".join(filter(None, parts))


def _tags(text: str) -> str:
    """The items that the text lists as comma-separated tags, without articles and full stops, each once."""
    tags = (_ARTICLE.sub("", piece.strip(), count=1) for piece in _TAG_END.split(text))
    return ", ".join(dict.fromkeys(filter(None, tags)))


def _new_parts(parts: Sequence[str], last_prompt: str, placeholders: Placeholders) -> str:
    """The sentences, or tags, with a word that the last prompt lacks."""
    known = content_words(last_prompt)
    new = [part for part in parts if content_words(placeholders.restore(part)) - known]
    return "".join(new).strip(" \n,，")


def _difference(last_prompt: str, prompt: str) -> str:
    """What was added and removed, word by word, a line per change; empty if the words are equal."""
    old, new = last_prompt.split(), prompt.split()
    changes = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        removed, added = " ".join(old[a:b]), " ".join(new[c:d])
        if tag != "equal":
            both = f"{removed} → {added}"
            changes.append(f"+ {added}" if not removed else f"- {removed}" if not added else both)
    return "\n".join(changes)


def _same(a: str, b: str) -> bool:
    return " ".join(a.split()).casefold() == " ".join(b.split()).casefold()
