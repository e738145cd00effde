"""Random programs for the engine: strategies that describe them, and running them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from rr_models.engine.engine import Engine
from rr_models.engine.program import Draft, Force, Measure, Rollback, Sample, Trie
from rr_models.engine.sequence import Prompt, Request

STOP = 7
SAMPLE = Sample(stop=frozenset({STOP}))
WORDS = Measure(Trie({"a": (20, 21, 22), "b": (20, 23), "c": (24, 25), "d": (26,), "ab": (20, 21)}, [27]))
SHORT = Measure(Trie({"x": (30,), "y": (31,)}))
MEASURES = {"words": WORDS, "short": SHORT}


@dataclass(frozen=True)
class Case:
    """A prompt, of which `prefix` tokens may be shared; what the program does; and its drafts: the length of
    each, whether it is right, and the Measure after it."""

    prompt: tuple[int, ...]
    actions: tuple[tuple[str, object], ...]
    drafts: tuple[tuple[int, bool, str | None], ...] = ()
    prefix: int = 0
    max_new_tokens: int = 200


token = st.integers(10, 60)
action = st.one_of(
    st.tuples(st.just("force"), st.lists(token, min_size=1, max_size=60).map(tuple)),
    st.tuples(st.just("sample"), st.integers(1, 5)),
    st.tuples(st.just("rollback"), st.integers(0, 30)),
    st.tuples(st.sampled_from(sorted(MEASURES)), st.sampled_from(["select", "follow"])),
)
draft = st.tuples(st.integers(0, 12), st.booleans(), st.sampled_from([None, *sorted(MEASURES)]))


def cases(prefixes=(0,), limits=(200,), max_size: int = 4):
    """Lists of cases."""
    case = st.builds(
        Case,
        prompt=st.lists(token, min_size=3, max_size=20).map(tuple),
        actions=st.lists(action, min_size=1, max_size=6).map(tuple),
        drafts=st.lists(draft).map(tuple),
        prefix=st.sampled_from(prefixes),
        max_new_tokens=st.sampled_from(limits),
    )
    return st.lists(case, min_size=1, max_size=max_size)


def prompt_of(model, token_ids, prefix: int = 0) -> Prompt:
    """Text alone. Prompts with the same first `prefix` tokens share them."""
    no_features = torch.zeros(0, model.config.get_text_config().hidden_size)
    is_image = torch.zeros(len(token_ids), dtype=torch.bool)
    positions = torch.arange(len(token_ids)).expand(3, -1)
    key = tuple(token_ids[:prefix])
    return Prompt(list(token_ids), positions, is_image, [no_features, no_features], prefix, key)


def run(engine: Engine, cases, rows: int = 1, padded_batch_size: int = 0, drafts_from=None, **options):
    """What each program writes, and the words and probabilities of its Measures.

    With `drafts_from`, the results of an earlier run, the programs draft those tokens, some of them wrongly.
    """
    selected: list[list] = [[] for _ in cases]
    requests: list[Request] = []
    for number, case in enumerate(cases):

        def program(number=number, case=case):
            table, drafts = selected[number], list(case.drafts)
            table.clear()

            def guess():
                if drafts_from is None or not drafts:
                    return
                length, right, measure = drafts.pop()
                done = len(requests[number].completion.token_ids)
                token_ids = drafts_from[number][0][done : done + length]
                if not right and token_ids:
                    token_ids = [*token_ids[:-1], 9]
                yield Draft(tuple(token_ids), MEASURES.get(measure))

            # a last Measure's probabilities show all that is in the cache; the first program may end earlier
            for name, argument in [*case.actions, *[("words", "select")] * (number > 0)]:
                yield from guess()
                if name == "force":
                    yield Force(argument)
                elif name == "sample":
                    for _ in range(argument):
                        yield from guess()
                        if (yield SAMPLE) == STOP:
                            break
                elif name == "rollback":
                    yield Rollback(max(0, len(requests[number].completion.token_ids) - argument))
                else:
                    choice = yield MEASURES[name]
                    table += [choice.word, *choice.table.values()]
                    if argument == "select":
                        yield Force(choice.ids)
                    else:  # the sampled tokens may be the words' or others
                        yield SAMPLE
                        yield SAMPLE

        def prompt(case=case):
            return prompt_of(engine.model, case.prompt, case.prefix)

        requests.append(Request(prompt, program, len(case.prompt), case.max_new_tokens))
    engine.run(requests, rows, padded_batch_size, **options)
    completions = [request.completion for request in requests]
    return [(completion.token_ids, completion.truncated) for completion in completions], selected
