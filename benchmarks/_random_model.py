"""Random-weight critics in the shapes of real ones, built in memory, and answers of typical length.

Speed and memory do not depend on the values of the weights, but a random model writes no critique. So the
answer is given: every step computes everything, and then takes the answer's next token instead of the
likeliest. Both `generate` (`Forced`) and the engine (`Typical`) follow the same answer.
"""

from __future__ import annotations

import random
import re

import torch
from _common import ROOT, load_test_helper
from _reference import generate

from rr_models.critics.base import Question
from rr_models.critics.generation import CritiqueGenerator
from rr_models.critics.local import LocalCritic
from rr_models.engine.sampler import Sampler
from rr_models.engine.sequence import Request
from rr_models.images import Preprocessing, pixel_values
from rr_models.judgement.answer_format import AnswerFormat, Kind

tiny = load_test_helper("tiny")

SHAPES = {
    #        hidden, inner, layers, heads, groups, vocabulary | vision: depth, hidden, inner, deepstack
    "tiny": ((128, 256, 4, 4, 2, 4_096), (2, 128, 256, (0,))),
    "0.1b": ((768, 2048, 12, 8, 2, 32_768), (6, 256, 1024, (1, 2, 3))),
    "0.4b": ((1024, 3072, 24, 16, 4, 32_768), (12, 384, 1536, (3, 6, 9))),
    "2b": ((2048, 6144, 28, 16, 8, 151_936), (24, 1024, 4096, (5, 11, 17))),
    "4b": ((2560, 9728, 36, 32, 8, 151_936), (24, 1024, 4096, (5, 11, 17))),
    "8b": ((4096, 12_288, 36, 32, 8, 151_936), (27, 1152, 4304, (8, 16, 24))),
}
LENGTHS = {
    "analysis": 70,
    "justification": 85,
    "summary": 60,
    "refinement_comments": 70,
    "refined_request": 110,
}
"""Tokens of an answer's texts. With the headings these make about 650 tokens, a typical critique."""


def make(shape: str, device: str = "cpu", dtype: torch.dtype | None = None) -> LocalCritic:
    """A critic of that shape; by default float32 on the CPU and bfloat16 elsewhere."""
    from transformers import GenerationConfig, Qwen3VLConfig, Qwen3VLForConditionalGeneration

    (hidden, inner, layers, heads, groups, vocabulary), vision = SHAPES[shape]
    depth, width, seen, deepstack = vision
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    tokenizer = tiny.make_tokenizer(4_096, [text.read_text(encoding="utf-8") for text in texts])
    number = tokenizer.convert_tokens_to_ids
    head = 128 if hidden > 128 else 64
    turns = [head // 2 - 2 * (head * 5 // 32), head * 5 // 32, head * 5 // 32]
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": turns, "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": hidden,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": groups,
            "head_dim": head,
            "max_position_embeddings": 32_768,
            "rope_parameters": rope,
            "rope_scaling": rope,
            "rope_theta": 5e6,
        },
        vision_config={
            "depth": depth,
            "hidden_size": width,
            "intermediate_size": seen,
            "num_heads": width // 64,
            "out_hidden_size": hidden,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": list(deepstack),
        },
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    dtype = dtype or (torch.float32 if device == "cpu" else torch.bfloat16)
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    try:
        torch.set_default_dtype(dtype)
        with torch.device(device):
            model = Qwen3VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    ends = [number("<|im_end|>"), number("<|endoftext|>")]
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends[1])
    model.eval().requires_grad_(False)
    files, precision = None, str(dtype).removeprefix("torch.")
    return LocalCritic(f"random {shape}", model, files, model.device, precision, tokenizer, Preprocessing())


def lead(critic: LocalCritic) -> None:
    """Make the critic write answers of typical length from now on."""
    old = critic.generator
    critic.generator = Typical(old.name, old.model, critic.tokenizer, old.wording, old.prompts)
    critic.generator.engine = old.engine


def answer(generator: CritiqueGenerator, question: Question) -> list[int]:
    """Token ids of a complete answer, the end token last: headings, random words, scores of 1.0."""
    words = sorted(set(re.findall("[a-z]{3,}", (ROOT / "README.md").read_text(encoding="utf-8"))))
    rng, tokens, ids = random.Random(0), generator.tokens, []
    for part in AnswerFormat.of(question.task, generator.wording.profile, generator.wording.style).fields:
        if part.kind is not Kind.TEXT:
            ids += [*tokens.encode(part.heading), *tokens.encode(" 1.0"), *tokens.newline]
            continue
        text, wanted = [], LENGTHS[part.key[-1]]
        while len(text) < wanted - 2:
            text += tokens.encode(" " + rng.choice(words))
        ids += [*tokens.encode(part.heading), *text[: wanted - 2], *tokens.encode("."), *tokens.newline]
    return [*ids, min(tokens.eos)]


def reference(critic: LocalCritic, questions: list[Question], see=pixel_values) -> list[list[int]]:
    """What `generate` writes while it follows the given answers, all questions in one batch."""
    from transformers import LogitsProcessorList

    answers = [answer(critic.generator, question) for question in questions]
    most = max(map(len, answers))
    return generate(critic, questions, most, LogitsProcessorList([Forced(answers)]), see)


class Forced:
    """A logits processor for transformers: each row's next token is that of its given answer."""

    def __init__(self, answers: list[list[int]]):
        self.answers, self.step = answers, 0

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        tokens = [answer[self.step] if self.step < len(answer) else answer[-1] for answer in self.answers]
        self.step += 1
        scores[torch.arange(len(tokens)), tokens] = torch.inf
        return scores


class Typical(CritiqueGenerator):
    """The engine, following the given answers. Keeps the requests of the last call."""

    def generate(self, *what):
        self.jobs = []
        return super().generate(*what)

    def _start(self, question: Question, *rest):
        generation = super()._start(question, *rest)
        request, program = generation.request, generation.request.program

        def follow_answer():
            begun = program()  # which sets a sampler of its own
            request.sampler = Given(request, answer(self, question))
            return begun

        request.program = follow_answer
        self.jobs.append(request)
        return generation


class Given(Sampler):
    """Draws the tokens of a given answer."""

    def __init__(self, request: Request, ids: list[int]):
        super().__init__(1.0, "")
        self.request, self.ids = request, ids

    def prepare(self, logits: torch.Tensor) -> torch.Tensor:
        token = self.ids[len(self.request.completion.token_ids)]
        return torch.full_like(logits, -torch.inf).index_fill(0, torch.tensor(token, device=logits.device), 0)

    def __call__(self, logits: torch.Tensor) -> int:
        return 0  # of the words of a measured trie; none of them is written
