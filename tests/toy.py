"""The smallest critic: a function that measures brightness, in some thirty lines. See test_toy_critic.py."""

from __future__ import annotations

from types import ModuleType


def make(critique: ModuleType, verdict: ModuleType, aspects: ModuleType):
    """The critic, built from the library's own data classes; in ComfyUI the library has another name."""

    class Brightness:
        """Scores every aspect by brightness, black 1 to white 4, and asks for more light."""

        name, profile = "brightness", aspects.RATIONAL_REWARDS

        def __init__(self):
            self.asked = 0

        def identity(self, task) -> str:
            return "brightness 1"

        def judge(self, questions, options=None, on_progress=None):
            self.asked += len(questions)
            return [self.compare(one) if one.task.is_pair else self.critique(one) for one in questions]

        def critique(self, question):
            score = self.score(question.images[0])
            scored = (
                critique.AspectScore(a.key, a.name, critique.SCORED, score, "measured")
                for a in self.profile.aspects(question.task)
            )
            refined = f"{question.request}, brighter"
            return critique.Critique(
                question.task, question.request, tuple(scored), "complete", refined_request=refined
            )

        def compare(self, question):
            a, b = map(self.score, question.images)
            winner = verdict.winner_of(a - b, 0)
            scored = (
                verdict.PairScore(aspect.key, aspect.name, verdict.SCORED, a, b, winner, "measured")
                for aspect in self.profile.aspects(question.task)
            )
            return verdict.Verdict(question.task, question.request, tuple(scored), "complete")

        def score(self, image) -> float:
            return round(1 + 3 * min(1.0, image.pixels.mean().item()), 1)

    return Brightness()
