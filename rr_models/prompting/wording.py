"""The prompt of a critic: from a user's template file, the checkpoint's model card, or this project's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..judgement.answer_format import CARD, STYLES
from ..judgement.aspects import RATIONAL_REWARDS, Profile
from . import model_card, rubric, templates
from .templates import Template


@dataclass(frozen=True)
class Wording:
    """The prompts of a critic. `templates` replace this project's own prompt for some tasks; `notices` tell
    the user what was chosen."""

    style: str = CARD
    profile: Profile = RATIONAL_REWARDS
    templates: Mapping[str, Template] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __post_init__(self):
        if self.style not in STYLES:
            raise ValueError(f"style must be one of {', '.join(STYLES)}, not {self.style!r}.")

    def messages(self, task: str, request: str, sources: int = 1) -> list[dict]:
        """Chat messages in the format of rubric.messages. ValueError for an unknown task, or for a number of
        sources that the template does not support."""
        if task in self.templates:
            return self.templates[task].messages(request, sources)
        return rubric.messages(task, request, style=self.style, profile=self.profile, sources=sources)

    def name(self, task: str) -> str:
        """Name and hash of the prompt of a task, recorded on every critique."""
        if task in self.templates:
            return self.templates[task].name
        return rubric.wording(task, self.style, self.profile)


def choose(
    folder: Path | None = None,
    file: Path | None = None,
    style: str = CARD,
    profile: Profile = RATIONAL_REWARDS,
) -> Wording:
    """The prompts for a critic, task by task.

    A user's template `file` comes first, then the model card in the model's `folder` (only for the style
    "card" and the aspects that it was written for), then this project's own prompt.
    """
    own = templates.read_file(file) if file is not None else {}
    card = model_card.read(folder) if folder is not None and style == CARD else model_card.Card()
    if profile == RATIONAL_REWARDS:
        return Wording(style, profile, {**card.templates, **own}, card.notices)
    notices = ()
    if set(card.templates) - set(own):
        notices = (
            "The wording on the model card is not used, because it does not ask for the aspects of "
            f"{profile.name}. This project's wording is used instead.",
        )
    return Wording(style, profile, own, notices)
