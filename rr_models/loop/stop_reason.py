"""Why a refine loop stopped: a code, its parameters, and the English sentence made of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..judgement.from_data import Text, Whole, from_data


class StopReason(str, Enum):
    """The code of a stop reason. It goes into JSON; user interfaces translate by it."""

    THRESHOLDS_REACHED = "thresholds_reached"
    TARGET_COUNT_REACHED = "target_count_reached"
    ROUNDS_USED = "rounds_used"
    TIME_LIMIT = "time_limit"
    NO_GAIN = "no_gain"
    CRITIQUE_FAILED = "critique_failed"
    NO_NEW_PROMPT = "no_new_prompt"
    SAME_IMAGE = "same_image"
    STOPPED = "stopped"
    ROUND_FAILED = "round_failed"

    def __str__(self) -> str:
        return self.value

    @property
    def template(self) -> str:
        """The English sentence, with the names of its parameters in braces."""
        return _TEMPLATES[self]

    @property
    def is_external(self) -> bool:
        """True where the caller ended the loop, not a rule of the loop."""
        return self in (StopReason.STOPPED, StopReason.ROUND_FAILED)


_TEMPLATES = {
    StopReason.THRESHOLDS_REACHED: "Round {round} reaches the thresholds: {thresholds}.",
    StopReason.TARGET_COUNT_REACHED: "All {target_count} wanted images are accepted.",
    StopReason.ROUNDS_USED: "All rounds are used: {rounds}.",
    StopReason.TIME_LIMIT: "{seconds} of {time_limit_seconds} seconds are used, and another round takes at "
    "least {quickest_round}.",
    StopReason.NO_GAIN: "Rounds in a row without a gain of {min_gain} or more: {rounds}.",
    StopReason.CRITIQUE_FAILED: "The critique of round {round} is {status}.",
    StopReason.NO_NEW_PROMPT: "The critic proposed no new prompt in round {round}.",
    StopReason.SAME_IMAGE: "The proposed prompt was already used with this seed and would make the same "
    "image again.",
    StopReason.STOPPED: "Stopped in round {round}.",
    StopReason.ROUND_FAILED: "Round {round} failed.",
}


@dataclass(frozen=True)
class Stop:
    """A stop reason with the values of its parameters.

    `parameters` holds what the template names: numbers as they are shown, no objects. `details` is text from
    elsewhere that explains the stop, such as the critic's notes or an exception's message; it follows the
    sentence.
    """

    reason: StopReason
    parameters: Mapping[str, str | int] = field(default_factory=dict)
    details: str = ""

    def __str__(self) -> str:
        sentence = self.reason.template.format(**self.parameters)
        details = self.details.strip().rstrip(".:").rstrip()
        return f"{sentence[:-1]}: {details}." if details else sentence

    def to_dict(self) -> dict:
        """Plain data for JSON: code, parameters, details, and for human readers the English text."""
        return {
            "code": self.reason.value,
            "parameters": dict(self.parameters),
            "details": self.details,
            "text": str(self),
        }

    @classmethod
    def from_dict(cls, data: object) -> Stop:
        """Inverse of `to_dict`. ValueError for an unknown code or a parameter that is missing."""
        form = from_data(_StopForm, data, "stop")
        stop = cls(form.code, form.parameters, form.details)
        try:
            str(stop)
        except KeyError as error:
            raise ValueError(f"stop.parameters.{error.args[0]} is missing.") from None
        return stop


@dataclass(frozen=True)
class _StopForm:
    """A stop in JSON."""

    code: StopReason
    parameters: dict[Text, Text | Whole]
    details: Text
    text: Text
