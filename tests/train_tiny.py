"""Train the tiny critic of tiny.py, so that it writes answers in the critic's form by itself.

    python tests/train_tiny.py [--steps 1500] [--out tests/data/tiny]

The matrices of its vision tower are random, others in every step: whatever tower the critic gets, it keeps to
the form, and its scores follow from what the tower makes of the images. So scores have no meaning, and most
of the weights need not be kept. Texts are short, so that tests are fast. Written are the trained weights, in
bfloat16, and the tokenizer.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import tiny  # noqa: E402
from shapes_optimizer import Muon  # noqa: E402

from rr_models.critics.tokenization import PromptTokenizer  # noqa: E402
from rr_models.images import Preprocessing, pixel_values  # noqa: E402
from rr_models.judgement.answer_format import (  # noqa: E402
    NOT_APPLICABLE_TEXT,
    STYLES,
    WINNERS,
    AnswerFormat,
    Key,
)
from rr_models.judgement.task import Task  # noqa: E402
from rr_models.judgement.verdict import winner_of  # noqa: E402
from rr_models.prompting import rubric  # noqa: E402
from rr_models.prompting.wording import Wording  # noqa: E402

QUESTIONS, WARMUP = 8, 50  # of each step; steps until the learning rate is reached
SHORTEST = 4  # tokens that stay of every text of a prompt, in the beginning
MATRIX_RATE, OTHER_RATE = 0.01, 0.002  # of hidden matrices (Muon), and of everything else (AdamW)
LOOKS = ("calm", "bright", "dark", "quiet", "vivid", "simple")
THINGS = ("fox", "lamp", "chair", "tree", "boat", "house")
LIGHTS = ("soft", "warm", "clear", "low", "cold", "even")
MIDDLE, REACH = 2.5, 1.1  # scores lie around 1.4 to 3.6, by a feature with a standard deviation of about 1.6
SPREAD = 0.4  # standard deviation of a score given the image
WORDS_FROM, LETTERS_FROM = 16, 8  # the features that the words and N/A follow; scores follow the first ones


def values_of(
    task: Task, form: AnswerFormat, features: Sequence[torch.Tensor], rng: random.Random
) -> dict[Key, str]:
    """An answer. It follows the mean features of all image tokens; those of a pair's scores, of each image.
    `features` are those of the images, [tokens, 128]."""
    seen = torch.cat(features).mean(0).tolist()
    judged = [image.mean(0).tolist() for image in features[-2:]] if task.is_pair else [seen]
    look, light, thing = (
        rng.choices(words, [math.exp(2 * x) for x in seen[start : start + len(words)]])[0]
        for start, words in ((WORDS_FROM, LOOKS), (WORDS_FROM + 8, LIGHTS), (WORDS_FROM + 16, THINGS))
    )
    has_letters = rng.random() < 1 / (1 + math.exp(-2 * seen[LETTERS_FROM]))
    values: dict[Key, str] = {
        ("analysis",): f"The request asks for a {look} scene.",
        ("summary",): f"It is {look}, with small faults.",
        ("refinement_comments",): f"Ask for {light} light.",
        ("refined_request",): f"A {look} {thing} in {light} light.",
    }
    if task.has_source:
        values["analysis",] = f"The edit asks for {light} light."
        values["refined_request",] = f"Make the light {light}, keep the {thing}."
    words = {
        "text_faithfulness": f"The {thing} is there.",
        "image_faithfulness": "The rest has stayed.",
        "physical_quality": f"The light is {light}.",
        "text_rendering": "The letters are clear." if has_letters else "No letters are asked for.",
    }
    for number, key in enumerate(form.names):
        values[key, "justification"] = words[key]
        means = [MIDDLE + REACH * math.tanh(image[number]) for image in judged]
        scores = [round(min(4.0, max(1.0, rng.gauss(mean, SPREAD))), 1) for mean in means]
        texts = [f"{score:.1f}" for score in scores]
        winner = [
            name for name, meaning in WINNERS.items() if meaning == winner_of(scores[0] - scores[-1], 0)
        ]
        if key == "text_rendering" and not has_letters:
            texts, winner = [NOT_APPLICABLE_TEXT] * len(scores), [NOT_APPLICABLE_TEXT]
        parts = ("score_a", "score_b", "winner") if task.is_pair else ("score",)
        for part, text in zip(parts, [*texts, *winner], strict=False):
            values[key, part] = text
    return values


def all_texts() -> list[str]:
    """Every prompt, and many answers, for the tokenizer. The answers count more: they shall be short."""
    rng, texts = random.Random(0), []
    for task in Task:
        for style in STYLES:
            texts += [
                part.get("text", "") for m in rubric.messages(task, "", style=style) for part in m["content"]
            ]
            form = AnswerFormat.of(task, style=style)
            for _ in range(100):
                features = [torch.tensor([[rng.gauss(0, 1) for _ in range(128)]]) for _ in range(2)]
                texts.append(form.text(values_of(task, form, features, rng)))
    return texts


def random_image(rng: random.Random) -> torch.Tensor:
    """Noise, one colour or a gradient, or something in between: [H, W, 3]."""
    height, width = (rng.choice((32, 64, 64, 64, 96, 128)) for _ in range(2))
    plain = torch.tensor([rng.random() for _ in range(3)])
    slope = torch.linspace(-1, 1, height)[:, None, None] * torch.tensor(
        [rng.uniform(-0.5, 0.5) for _ in range(3)]
    )
    noise = torch.rand(height, width, 3) - 0.5
    return (plain + rng.choice((0, 1)) * slope + rng.choice((0, 0, 0.3, 1)) * noise).clamp(0, 1)


def random_request(rng: random.Random, words: list[str]) -> str:
    """A few words or many, English or Chinese, in one line or several."""
    count = rng.choice((1, 3, 6, 6, 10, 10, 20, 40, rng.randint(40, 300)))
    if rng.random() < 0.3:
        words = [*(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(count)), "，", "。", "\n"]
        return "".join(rng.choices(words, k=count)) + "。"
    return "".join(
        rng.choice(words) + rng.choice((" ", " ", " ", " ", ", ", ". ", "\n")) for _ in range(count)
    )


class Examples:
    """Random questions with answers, as inputs of the model, each with a vision tower of its own."""

    def __init__(self, tokenizer, visual, seed: int):
        self.rng = random.Random(seed)
        self.visual = visual
        self.image, self.end = tokenizer.convert_tokens_to_ids(["<|image_pad|>", "<|im_end|>"])
        self.preprocessing = Preprocessing.read(tiny.PREPROCESSING)
        self.prompts = {
            style: PromptTokenizer(tokenizer, self.preprocessing, Wording(style), self.image)
            for style in STYLES
        }
        self.ids = lambda text: tokenizer(text, add_special_tokens=False).input_ids
        said = " ".join(p.get("text", "") for m in rubric.messages("edit-pair", "") for p in m["content"])
        spellings = [tokenizer.decode([number]).strip() for number in range(len(tokenizer) - 16)]
        self.words = [*said.split(), *filter(None, spellings)]

    def next(self, share: float) -> tuple[dict[str, torch.Tensor], int]:
        """Inputs of the model, and where the answer begins. Of each text of the prompt there is only the
        end, a `share` of it."""
        rng = self.rng
        tiny.randomize(self.visual, rng.getrandbits(32))
        task, style = rng.choice(list(Task)), rng.choice(STYLES)
        sources = rng.choice((1, 1, 2, 3)) if task.has_source else 1
        request = random_request(rng, self.words)
        segments = self.prompts[style].segments(task, request, sources)
        segments = [ids[int((1 - share) * max(0, len(ids) - SHORTEST)) :] for ids in segments]
        images = [pixel_values(random_image(rng), self.preprocessing) for _ in segments[1:]]
        inputs = {
            "pixel_values": torch.cat([patches for patches, _ in images]),
            "image_grid_thw": torch.tensor([grid for _, grid in images]),
        }
        with torch.no_grad():
            embedded = self.visual(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"]).pooler_output
        counts = [height * width // 4 for _, (_, height, width) in images]
        features = (embedded - self.visual.merger.linear_fc2.bias.detach()).split(counts)
        ids = list(segments[0])
        for count, segment in zip(counts, segments[1:], strict=True):
            ids += [*[self.image] * count, *segment]
        form = AnswerFormat.of(task, style=style)
        answer = self.ids(form.text(values_of(task, form, features, rng)))
        inputs["input_ids"] = torch.tensor([[*ids, *answer, self.end]])
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == self.image).int()
        return inputs, len(ids)


def main() -> None:
    options = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    options.add_argument("--out", type=Path, default=tiny.DATA, help="folder to write")
    options.add_argument("--steps", type=int, default=1500)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    tokenizer = tiny.make_tokenizer(tiny.VOCABULARY, all_texts())
    model = tiny.make_model(tokenizer)
    # what all towers have in common, by which the text half knows an image
    torch.nn.init.normal_(model.model.visual.merger.linear_fc2.bias, 0, 3)
    for layer in model.model.language_model.layers:  # attention that can be sharp from the beginning
        layer.self_attn.q_norm.weight.data.fill_(1.7)
        layer.self_attn.k_norm.weight.data.fill_(1.7)
    for p in model.model.visual.parameters():
        p.requires_grad_(p.ndim == 1)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    print(f"{sum(p.numel() for p in trained.values())} weights, {len(tokenizer)} tokens", flush=True)
    hidden = [
        name for name, p in trained.items() if p.ndim == 2 and "embed" not in name and "head" not in name
    ]
    optimizers = [
        Muon([trained[name] for name in hidden], lr=MATRIX_RATE),
        torch.optim.AdamW(
            [p for name, p in trained.items() if name not in hidden], lr=OTHER_RATE, betas=(0.9, 0.98)
        ),
    ]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    examples, began, losses = Examples(tokenizer, model.model.visual, args.seed), time.time(), []
    for step in range(args.steps):
        curve = min(1, (step + 1) / WARMUP) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / args.steps)) / 2)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * curve
        share = min(1, max(0.0, 4 * step / args.steps - 2.4))
        model.zero_grad()
        for _ in range(QUESTIONS):
            inputs, start = examples.next(share)
            states = model.model(**inputs, use_cache=False).last_hidden_state[0, start - 1 : -1]
            loss = F.cross_entropy(model.lm_head(states), inputs["input_ids"][0, start:])
            (loss / QUESTIONS).backward()
            losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        if (step + 1) % 20 == 0:
            recent = losses[-20 * QUESTIONS :]
            mean = sum(recent) / len(recent)
            print(f"step {step + 1}: {mean:.4f}, {time.time() - began:.0f} s", flush=True)
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            tiny.save_trained(args.out, tokenizer, trained)


if __name__ == "__main__":
    main()
