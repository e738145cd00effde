"""Constrained decoding: what the critic writes stays; what is missing is asked for where it belongs; and no
score is made up."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rr_tests.answers import answer, scores
from rr_tests.scripted import HEADER, Cooperates, Writes, scripted

from rr_models.critics.base import Question
from rr_models.critics.judging import critique
from rr_models.critics.measured_scores import MIN_FORM_MASS, expected_score, form_mass
from rr_models.critics.options import JudgeOptions
from rr_models.critics.token_sets import score_words
from rr_models.engine.engine import Engine
from rr_models.engine.program import Force, Trie
from rr_models.engine.sequence import Prompt, Request
from rr_models.engine.trie_step import measure, tree
from rr_models.judgement.critique import COMPLETE, INCOMPLETE, REFUSED, TRUNCATED

REQUEST = "A red fox asleep on a blue chair."
IMAGE = torch.zeros(64, 96, 3)
NOT_APPLICABLE = "not_applicable"


@pytest.fixture(scope="module")
def critic(small_vocabulary_critic):
    return small_vocabulary_critic


def encode(critic, text: str) -> list[int]:
    return critic.tokenizer(text, add_special_tokens=False).input_ids


class Likely:
    """Writes a text; after `place` in it, the continuations of `after` are as likely as they say. What is not
    listed there, the model would rather write than the rest of the text."""

    def __init__(self, critic, text: str, place: str, after: dict[str, float]):
        self.writes, self.tokenizer = Writes(critic.tokenizer, text), critic.tokenizer
        self.place, self.after = place, {tuple(encode(critic, told)): p for told, p in after.items()}

    def __call__(self, ids: list[int]) -> dict[int, float]:
        text = self.tokenizer.decode(ids)
        if self.place in text:
            start = next(n for n in range(len(ids) + 1) if self.place in self.tokenizer.decode(ids[:n]))
            since = tuple(ids[start:])
            table: dict[int, float] = {}
            for told, p in self.after.items():
                if told[: len(since)] == since and len(told) > len(since):
                    table[told[len(since)]] = table.get(told[len(since)], 0.0) + p
            if table:
                total = sum(table.values())
                return {token: p / total for token, p in table.items()}
        return self.writes(ids)


def judged(critic, script, **options):
    with scripted(critic, script):
        return critique(critic, [IMAGE], REQUEST, **options)[0]


# what the critic writes counts, and the other scores it might have written


@pytest.mark.parametrize(
    ("after", "score", "expected"),
    [
        ({" 3\n": 0.60, " 3.5\n": 0.25, " 2.5\n": 0.10, " 4\n": 0.05}, 3.0, 3.125),
        ({" 2\n": 0.80, " 1\n": 0.10, " 3\n": 0.05, " 2.5\n": 0.05}, 2.0, 1.975),
        ({" 4\n": 0.97, " 3.5\n": 0.02, " 3.8\n": 0.01}, 4.0, 3.988),
        ({" 3/4\n": 0.7, " 3.5/4\n": 0.3}, 3.0, 3.15),
        ({" 3.5\n\n": 0.90, " 3.55\n": 0.06, " 3.5\n": 0.04}, 3.5, 3.503),
        ({" 3.5 \n": 0.80, " 3.5\n\n": 0.17, " 3.56\n": 0.02, " 3.5\n": 0.01}, 3.5, 3.5012),
        ({" 3.75\n": 0.5, " 3.25\n": 0.3, " 3.5\n": 0.2}, 3.75, 3.55),
        ({" **3.5**\n": 0.6, " **3**\n": 0.4}, 3.5, 3.3),
        ({"\n3.5\n": 0.6, "\n3\n": 0.4}, 3.5, 3.3),
        ({" N/A\n": 0.1, " 3.0\n": 0.6, " 2.0\n": 0.3}, 3.0, 2.6667),
    ],
)
def test_a_score_in_any_form_stays_and_the_expected_one_knows_all_forms(
    real_vocabulary_critic, after, score, expected
):
    critic = real_vocabulary_critic
    text = answer("4.0", "4.0").replace("Text Rendering", "Text Rendering", 1)
    place = text[: text.rindex("## Score:")][-40:] + "## Score:"
    found = judged(critic, Likely(critic, text, place, after)).aspects[2]
    assert (found.score, found.expected) == (score, pytest.approx(expected, abs=2e-4))
    assert found.form_mass == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("optional", [False, True])
@given(seed=st.integers(0, 2**31))
@settings(max_examples=5)
def test_measured_probabilities_are_those_of_writing_token_by_token(
    real_vocabulary_critic, optional: bool, seed: int
):
    """Against brute force over whole numbers, tenths, hundredths and N/A, on the real vocabulary."""
    critic = real_vocabulary_critic
    vocabulary = critic.model.config.get_text_config().vocab_size
    likely = encode(critic, " 0123456789. N n Not/A/a applicable/\n\n\n")

    def logits(ids) -> torch.Tensor:
        generator = torch.Generator().manual_seed(hash((seed, tuple(ids))) % 2**31)
        drawn = torch.randn(vocabulary, generator=generator)
        drawn[likely] += 12
        return drawn

    begun = [5, 6]
    told: list = []

    def program():
        yield Force(tuple(begun))
        told.append((yield critic.generator.tokens.measure((1.0, 4.0), optional, True)))

    ids = encode(critic, HEADER)
    positions, is_image = torch.arange(len(ids)).expand(3, -1), torch.zeros(len(ids), dtype=torch.bool)
    prompt = Prompt(ids, positions, is_image, [torch.zeros(0, 1, dtype=torch.long)])
    with scripted(critic, logits):
        Engine(critic.model).run([Request(lambda: prompt, program, len(ids), 50)], 1)
    (choice,) = told

    @cache
    def following(written: tuple[int, ...]) -> torch.Tensor:
        return torch.softmax(logits(written).double(), -1)

    def p(text: str, *, ends: bool = False) -> float:
        """Of writing these characters here; if it `ends`, without a digit or a point behind."""
        chance, written = 1.0, tuple(begun)
        for token in encode(critic, text):
            chance *= following(written)[token].item()
            written = (*written, token)
        if ends:
            after = following(written)
            more = encode(critic, "0123456789") + ([] if "." in text else encode(critic, "."))
            chance *= 1 - sum(after[token].item() for token in more)
        return chance

    table: dict[float, float] = {}
    for whole in range(1, 5):
        table[whole] = p(f" {whole}", ends=True) + p(f" {whole}.", ends=True)
    for tenth in range(10, 41):
        table[tenth / 10] = table.get(tenth / 10, 0.0) + p(f" {tenth / 10:.1f}", ends=True)
    for hundredth in range(100, 401):
        table[hundredth / 100] = table.get(hundredth / 100, 0.0) + p(f" {hundredth / 100:.2f}")
    total = sum(table.values())
    mean = sum(score * chance for score, chance in table.items()) / total
    std = math.sqrt(sum(chance * (score - mean) ** 2 for score, chance in table.items()) / total)
    assert expected_score(choice.table) == pytest.approx((mean, std), abs=1e-6)
    if optional:
        total += p(" N/A") + p(" n/a") + p(" Not applicable")
    assert form_mass(choice.table) == pytest.approx(total, abs=1e-6)


# no score is made up


def test_a_score_that_the_critic_hardly_gave_does_not_count(critic):
    text = answer("4.0", "4.0")
    place = text[: text.rindex("## Score:")][-40:] + "## Score:"
    for mass, status in ((0.6, COMPLETE), (0.4, INCOMPLETE), (MIN_FORM_MASS / 2, INCOMPLETE)):
        # of scores each is less likely than words, together they may be likelier
        words = 1 - mass if mass < 0.5 else 0.35
        after = {" unclear, I would say\n": words, " 3.5\n": 0.55 * mass, " N/A\n": 0.45 * mass}
        after |= {" as such\n": 1 - words - mass} if words + mass < 1 else {}
        found = judged(critic, Likely(critic, text, place, after))
        assert found.status == status, found.notes
        if status == COMPLETE:
            assert found.aspects[2].score == 3.5 and found.aspects[2].form_mass == pytest.approx(mass)
            assert any("under given headings" in note for note in found.notes)
        else:
            assert found.aspects[2].score is None
            assert f"{mass:.1%} of its probability" in found.notes[-1]
            assert "unclear" in found.text  # the critic's own answer is kept


def test_an_aspect_that_always_applies_gets_no_score_instead_of_not_applicable(critic):
    text = answer("4.0", "N/A").replace("## Score: 4.0", "## Score: N/A", 1)
    found = judged(critic, Writes(critic.tokenizer, text))
    assert found.status == INCOMPLETE and found.text == text
    assert found.aspects[0].score is None and found.overall is None


@pytest.mark.parametrize("text", ["I'm sorry, but I can't judge this image.", "抱歉，我无法评价这张图片。"])
def test_a_refusal_stays_one(critic, text: str):
    found = judged(critic, Writes(critic.tokenizer, text))
    assert (found.status, found.text) == (REFUSED, text)


# what is missing is asked for where it belongs


def test_a_missing_score_is_asked_for_in_its_place(critic):
    whole = answer("3.5", "N/A")
    lines = whole.split("\n")
    number = next(n for n, line in enumerate(lines) if line.startswith("## Score"))
    without = "\n".join(lines[:number] + lines[number + 1 :])
    found = judged(critic, Cooperates(critic.tokenizer, without, whole))
    assert found.status == COMPLETE and found.text.strip() == whole.strip()
    assert scores(found)[0] == 3.5
    assert found.notes == ("the answer goes on under given headings from: text faithfulness score",)
    free = judged(critic, Writes(critic.tokenizer, without), constrained=False, ask_again=False)
    assert free.status == INCOMPLETE


def test_an_answer_that_ends_early_goes_on(critic):
    """At every line end: what stands there stays, and the critic writes the rest."""
    whole = answer("3.5", "N/A")
    lines = whole.split("\n")
    for count in range(1, len(lines)):
        begun = "\n".join(lines[:count])
        found = judged(critic, Cooperates(critic.tokenizer, begun, whole))
        assert scores(found) == [3.5, 3.0, NOT_APPLICABLE], (count, found.text, found.notes)
        assert found.text.startswith(begun)
        # nobody asks for an analysis or for comments whose heading stands there
        assert count in (1, 14) or found.text.strip() == whole.strip()


def test_a_refined_request_that_the_critic_left_out_is_asked_for(critic):
    whole = answer("3.5", "N/A")
    begun = whole[: whole.index("# User Request Refinement")].rstrip("\n")
    script = Cooperates(critic.tokenizer, begun, whole)
    found = judged(critic, script)
    assert found.text.startswith(begun) and found.refined_request
    assert scores(found) == [3.5, 3.0, NOT_APPLICABLE]
    for detail in ("scores", "critique"):
        short = judged(critic, script, detail=detail)
        assert not short.notes and "Refinement" not in short.text and scores(short) == scores(found)
        assert ("# Summary" in short.text) == (detail == "critique")


def test_a_text_that_repeats_itself_is_closed_and_the_answer_goes_on(critic):
    whole = answer("3.5", "N/A")
    start = whole.index("## Justification: ") + len("## Justification: ")
    phrase = encode(critic, " The chair is green.")
    begun = encode(critic, whole[: start - 1])

    def script(ids):
        if ids[: len(begun)] == begun and "## Score" not in critic.tokenizer.decode(ids):
            return {phrase[(len(ids) - len(begun)) % len(phrase)]: 1.0}
        return Cooperates(critic.tokenizer, "", whole)(ids)

    found = judged(critic, script)
    assert found.status == COMPLETE and found.text.count("The chair is green.") <= 4, found.notes
    assert scores(found)[0] == 3.5


# one pool of tokens


def test_an_answer_that_fits_is_untouched_and_one_token_less_goes_back(critic):
    whole = answer("3.5", "N/A")
    count = len(encode(critic, whole))
    for limit in (count, count + 1, 2048):
        found = judged(critic, Writes(critic.tokenizer, whole), max_new_tokens=limit)
        assert (found.status, found.text, found.notes) == (COMPLETE, whole, ()), limit


def test_a_long_text_is_cut_at_a_sentence_where_the_scores_still_fit(critic):
    """Never within a number, and the note tells what was closed."""
    whole = answer("3.5", "N/A")
    start = whole.index("## Justification: ") + len("## Justification: ")
    endless = "".join(f" An anchor of {n % 4}.0 is met, and {n}.5 is not." for n in range(400))
    long = whole[:start] + endless + whole[start:]
    for limit in (300, 500, 1000):
        found = judged(critic, Cooperates(critic.tokenizer, long, whole), max_new_tokens=limit)
        assert found.status == COMPLETE and found.source["tokens"] <= limit, (limit, found.notes)
        justification = found.aspects[0].justification
        assert justification.endswith("is not.") and len(encode(critic, justification)) > limit // 4


def test_a_limit_below_the_headings_cuts_off_and_says_so(critic):
    found = judged(critic, Writes(critic.tokenizer, answer("3.5", "N/A")), max_new_tokens=20)
    assert found.status in (TRUNCATED, INCOMPLETE) and found.overall is None
    assert any("limit" in note for note in found.notes)


# what the engine measures

WORDS = st.dictionaries(
    st.text("abcdefgh", min_size=1), st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple)
)


@given(WORDS, st.integers(0, 2**31))
def test_a_choice_is_one_of_the_words_with_its_share(told: dict, seed: int):
    if len(set(told.values())) < len(told) or not told:
        with pytest.raises(ValueError, match="The tokens of|at least one word"):
            Trie(told)
        return
    trie = Trie(told)
    ids, depths, seen = tree(trie)
    assert len(ids) == len(trie.fed) and [int(row.sum()) - 1 for row in seen] == depths
    logits = torch.randn(len(trie.fed) + 1, 10, generator=torch.Generator().manual_seed(seed))
    choice = measure(trie, logits[0], logits[1:], None)
    assert choice.ids == told[choice.word] and set(choice.table) == set(told)
    assert 0 < sum(choice.table.values()) <= 1 + 1e-5


@pytest.mark.parametrize("scale", [(1.0, 4.0), (0.0, 10.0), (0.0, 100.0), (-5.0, 5.0), (0.5, 2.5)])
def test_the_scores_of_any_usual_scale_can_be_measured(critic, scale):
    for optional in (False, True):
        trie = critic.generator.tokens.measure(scale, optional, True).trie
        numbers = [float(word) for word in trie.words if word[-1].isdigit() or word[-1] == "."]
        assert min(numbers) >= scale[0] and max(numbers) <= scale[1]
        assert {number for number in range(math.ceil(scale[0]), int(scale[1]) + 1)} <= set(numbers)
    assert critic.generator.tokens.measure((1.0, 1000.0), False, True) is None


def test_score_words_are_all_ways_to_write_a_score():
    assert score_words((1.0, 2.0), 1) == ["1", "1.", "2", "2.", *(f"{n / 10:.1f}" for n in range(10, 21))]
    assert score_words((1.0, 2.0), 0) == ["1", "2"]
    assert len(score_words((1.0, 4.0), 2)) == 8 + 31 + 301


def test_questions_of_all_tasks_keep_their_form(critic):
    pair = Question("t2i-pair", REQUEST, (IMAGE, IMAGE))
    from rr_models.judgement.answer_format import AnswerFormat

    form = AnswerFormat.of("t2i-pair", critic.profile)
    values = {section.key: "3.5" if "score" in section.key[-1] else "Fine." for section in form.fields}
    values |= {section.key: "Image A" for section in form.fields if section.key[-1] == "winner"}
    text = form.text(values).replace("## Score B: 3.5", "## Score B: 2.5")
    with scripted(critic, Writes(critic.tokenizer, text)):
        (verdict,) = critic.judge([pair], JudgeOptions(score_mode="expected"))
    assert verdict.text == text and verdict.status == COMPLETE
    assert {(a.score_a, a.score_b, a.winner) for a in verdict.aspects} == {(3.5, 2.5, "A")}


# where lines, limits and chance could mislead


@pytest.mark.parametrize("count", [3, 30])
def test_other_line_ends_move_no_score_to_another_aspect(critic, count: int):
    text = answer("3.5", "4.0").replace("What is asked for.", "What is\r asked\r for.\r" + "x\r" * count)
    for detail in ("full", "critique"):
        found = judged(critic, Writes(critic.tokenizer, text), score_mode="expected", detail=detail)
        assert scores(found) == [3.5, 3.0, 4.0], detail
    without = text.replace("## Score: 3.0\n", "")
    found = judged(critic, Cooperates(critic.tokenizer, without, answer("3.5", "4.0")))
    assert found.status == COMPLETE and scores(found) == [3.5, 3.0, 4.0], found.notes


@pytest.mark.parametrize("line", ["## Score A: 3.5, Score B: 2.5", "## Scores A/B: 3.5 / 2.5"])
def test_two_scores_in_one_line_stay_apart(critic, line: str):
    aspects = [aspect.name for aspect in critic.profile.aspects("t2i-pair")]
    parts = [f"{n}. {name}:\n{line}\n## Winner: Image A\n" for n, name in enumerate(aspects, 1)]
    text = "# Detailed Judgement\n" + "".join(parts) + "# Summary: A is better."
    with scripted(critic, Writes(critic.tokenizer, text)):
        question = Question("t2i-pair", REQUEST, (IMAGE, IMAGE))
        (verdict,) = critic.judge([question], JudgeOptions(score_mode="expected"))
    assert {(a.score_a, a.score_b, a.winner) for a in verdict.aspects} == {(3.5, 2.5, "A")}


COMPACT = "Text Faithfulness: 3.5\nPhysical and Visual Quality: 3\nText Rendering: 2.5\n"


def test_a_limit_never_costs_the_scores_that_the_critic_gave(critic):
    count = len(encode(critic, COMPACT))
    for limit in (count, count + 1, count + 10, count + 30):
        script = Cooperates(critic.tokenizer, COMPACT, answer("3.5", "2.5"))
        found = judged(critic, script, max_new_tokens=limit)
        assert scores(found) == [3.5, 3.0, 2.5] and found.text.startswith(COMPACT.strip()), limit
        assert found.source["tokens"] <= limit


def test_nothing_is_added_where_the_critic_has_no_better_request(critic):
    found = judged(critic, Cooperates(critic.tokenizer, COMPACT, answer("3.5", "2.5", refined="")))
    assert (found.text, found.status, found.notes) == (COMPACT, COMPLETE, ())


def test_measuring_changes_no_draw(critic):
    words = {encode(critic, f" {word}")[0]: 0.5 for word in ("red", "green")}
    whole = Writes(critic.tokenizer, answer("3.5", "2.5"))
    at = len(encode(critic, answer("3.5", "2.5").partition("# Summary:")[0] + "# Summary:"))

    def script(ids):
        return (
            words if at <= len(ids) < at + 12 else whole(ids if len(ids) < at else ids[:at] + ids[at + 12 :])
        )

    for seed in range(3):
        options = {"temperature": 1.0, "seed": seed}
        free = judged(critic, script, constrained=False, ask_again=False, **options)
        assert judged(critic, script, **options).text == free.text
    with scripted(critic, script):
        best = [
            critique(critic, [IMAGE], REQUEST, "t2i", detail="best", temperature=1.0, seed=s) for s in (0, 1)
        ]
    assert best[0][0].summary != best[1][0].summary


def test_json_that_lacks_a_score_goes_on_under_headings(critic):
    text = (
        '{"Text Faithfulness": {"Score": 3.5}, "Physical and Visual Quality": {"Justification": "x"}, '
        '"Text Rendering": {"Score": 2.5}}'
    )
    found = judged(critic, Cooperates(critic.tokenizer, text, answer("3.5", "2.5")))
    assert found.status == COMPLETE and scores(found) == [3.5, 3.0, 2.5], found.notes


@pytest.mark.parametrize("detail", ["scores", "full"])
def test_a_whole_number_at_the_end_is_whole(critic, detail: str):
    text = answer("3.5", "4").partition("# Summary")[0].rstrip("\n")
    found = judged(critic, Writes(critic.tokenizer, text), detail=detail)
    assert scores(found) == [3.5, 3.0, 4.0] and found.text.startswith(text)


def test_a_line_with_an_aspect_and_no_score_is_written_again(critic):
    text = COMPACT.replace("Quality: 3", "Quality: good")
    found = judged(critic, Cooperates(critic.tokenizer, text, answer("3.5", "2.5")))
    assert found.status == COMPLETE and scores(found) == [3.5, 3.0, 2.5], (found.text, found.notes)
