"""Carries out the program of an answer as the engine does, instruction by instruction, without any tensor.

What the model would compute is asked of a script (rr_tests.scripted.Answer), and only where the contract in
rr_models/engine/program.py needs it: the next token for Sample, the words that the script could write for
Measure. A draft changes nothing. tests/test_driver.py compares it with the engine.
"""

from __future__ import annotations

from collections.abc import Mapping

from rr_tests.natural_answers import NaturalAnswer
from rr_tests.scripted import Answer, Writes
from rr_tests.writing import REQUEST, Written

from rr_models.critics.answer_program import answer_program
from rr_models.critics.free_answer import AnswerPlan, Trace
from rr_models.critics.measured_scores import with_measured
from rr_models.critics.token_sets import TokenSets
from rr_models.engine.program import Choice, Draft, Force, Measure, Program, Rollback, Sample, Trie
from rr_models.engine.sequence import Completion
from rr_models.judgement.answer_format import FULL
from rr_models.judgement.aspects import RATIONAL_REWARDS
from rr_models.judgement.task import Task


def write(tokens: TokenSets, answer: NaturalAnswer, **options) -> Written:
    """Let a critic write the text of an answer; as `rr_tests.writing.write`."""
    task, script = Task(answer.task), Writes(tokens.tokenizer, answer.text)
    options = {"detail": FULL, "constrained": True, "limit": 2048} | options
    plan = AnswerPlan(task, REQUEST, RATIONAL_REWARDS, answer.style, **options)
    return write_any(tokens, plan, script)


def write_any(tokens: TokenSets, plan: AnswerPlan, script: Answer) -> Written:
    """Let a critic write whatever follows from a script."""
    trace = Trace()
    completion = drive(answer_program(plan, tokens, trace), script, plan.limit)
    ids = completion.token_ids if trace.token_ids is None else trace.token_ids
    reading = plan.read(tokens.decode(ids), trace.truncated or completion.truncated)
    judgement = with_measured(reading, trace.measured)
    return Written(judgement, completion, getattr(script, "ids", [])[:-1], trace)


def drive(program: Program, script: Answer, max_new_tokens: int) -> Completion:
    """Run a program to its end or to the token limit. AssertionError if a token that the script writes is
    banned."""
    completion, reply = Completion(), None
    ids, forced = completion.token_ids, completion.forced
    while True:
        try:
            instruction = program.send(reply)
        except StopIteration:
            completion.finished = True
            return completion
        reply = None
        if isinstance(instruction, Sample):
            if len(ids) >= max_new_tokens:
                break
            reply = _likeliest(_following(script, ids))
            assert reply not in instruction.banned, f"{reply} is banned after {len(ids)} tokens"
            if reply not in instruction.stop:
                ids.append(reply)
                forced.append(False)
        elif isinstance(instruction, Measure):
            reply = measured(instruction.trie, script, ids)
        elif isinstance(instruction, Rollback):
            del ids[instruction.length :], forced[instruction.length :]
        elif isinstance(instruction, Force):
            space = max_new_tokens - len(ids)
            ids += instruction.ids[:space]
            forced += [True] * len(instruction.ids[:space])
            if len(instruction.ids) > space:
                break
        else:
            assert isinstance(instruction, Draft)
    program.close()
    completion.finished = completion.truncated = True
    return completion


def measured(trie: Trie, script: Answer, ids: list[int]) -> Choice:
    """The probability of each word, and the word that is likeliest token by token."""
    table = dict.fromkeys(trie.words, 0.0)

    def visit(index: int, reach: float, written: list[int]) -> str:
        """Fill in the words below a node; returns the likeliest of them."""
        node = trie.nodes[index]
        if not node.children:
            assert node.word is not None
            table[node.word] = reach
            return node.word
        following = _following(script, written)
        likeliest, best = _first_word(trie, index), 0.0
        for token, child in node.children.items():
            if share := following.get(token, 0.0):
                word = visit(child, reach * share, [*written, token])
                if share > best:
                    likeliest, best = word, share
        if node.word is not None:  # ends here if anything else is written, but not what makes another number
            others = [
                share
                for token, share in following.items()
                if token not in node.children and token not in trie.continues
            ]
            table[node.word] = reach * sum(others)
            if max(others, default=0.0) > best:
                likeliest = node.word
        return likeliest

    word = visit(0, 1.0, ids)
    return Choice(word, trie.words[word], table)


def _following(script: Answer, ids: list[int]) -> Mapping[int, float]:
    following = script(ids)
    assert isinstance(following, Mapping), "only what gives probabilities can be driven"
    return following


def _first_word(trie: Trie, index: int) -> str:
    """What comes first of words that are all as unlikely."""
    while trie.nodes[index].children:
        index = next(iter(trie.nodes[index].children.values()))
    word = trie.nodes[index].word
    assert word is not None
    return word


def _likeliest(following: Mapping[int, float]) -> int:
    return max(following, key=lambda token: following[token])
