"""A pack for the tests alone: a tiny diffusion model made in memory, a painter, and a judge that measures
brightness.

The painter and the judge make loops quick and foreseeable without a language model: "brighter" in the prompt
really makes the image brighter, and the judge really measures the image it is given.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import torch
from comfy_api.latest import ComfyExtension, io


class RRTestTinyModel(io.ComfyNode):
    """An SD3-shaped model with random weights, as small as core's own detection allows."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RRTestTinyModel",
            category="tests",
            inputs=[io.Int.Input("weights_seed", default=0)],
            outputs=[io.Model.Output(), io.Clip.Output(), io.Vae.Output()],
        )

    @classmethod
    def execute(cls, weights_seed: int) -> io.NodeOutput:
        import comfy.sd

        with torch.inference_mode(False):
            model, clip, vae, _ = comfy.sd.load_state_dict_guess_config(
                _checkpoint(weights_seed), te_model_options={"clip_l_model_config": TEXT}
            )
        return io.NodeOutput(model, clip, vae)


TEXT = {"num_hidden_layers": 3, "intermediate_size": 64}


def _checkpoint(seed: int) -> dict[str, torch.Tensor]:
    import json
    from pathlib import Path

    import comfy.clip_model
    import comfy.ops
    import comfy.sd1_clip
    from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT
    from comfy.taesd.taesd import TAESD

    config = (
        json.loads(Path(comfy.sd1_clip.__file__).with_name("sd1_clip_config.json").read_text("utf-8")) | TEXT
    )
    plain = comfy.ops.disable_weight_init
    parts = {
        "model.diffusion_model.": MMDiT(
            in_channels=16,
            depth=1,
            adm_in_channels=2048,
            context_embedder_config={
                "target": "torch.nn.Linear",
                "params": {"in_features": 4096, "out_features": 64},
            },
            num_patches=1024,
            pos_embed_max_size=32,
            device="cpu",
            operations=plain,
        ),
        "text_encoders.clip_l.transformer.": comfy.clip_model.CLIPTextModel(
            config, torch.float32, "cpu", plain
        ),
        "first_stage_model.": TAESD(latent_channels=16),
    }
    dice = torch.Generator().manual_seed(seed)
    return {
        prefix + name: _filled(name, value, dice)
        for prefix, part in parts.items()
        for name, value in part.state_dict().items()
    }


def _filled(name: str, value: torch.Tensor, dice: torch.Generator) -> torch.Tensor:
    """Core leaves weights uninitialised where it expects to load them, so every one is written here."""
    if "vae_scale" in name or "vae_shift" in name or "logit_scale" in name:
        return value
    if value.ndim < 2:
        return torch.full(value.shape, 1.0 if name.endswith("weight") else 0.0)
    # A gain just under 1 keeps the image from saturating.
    return torch.randn(value.shape, generator=dice) * 0.9 / value[0].numel() ** 0.5


class RRTestPaint(io.ComfyNode):
    """A grey image, one step brighter for every "brighter" in the prompt; the seed makes it a little
    darker.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RRTestPaint",
            category="tests",
            inputs=[
                io.String.Input("prompt"),
                io.Int.Input("seed", default=0),
                io.Int.Input("batch_size", default=1),
                io.String.Input("fail_on", default="", tooltip="Fail if the prompt holds this."),
                io.Int.Input("size", default=16, optional=True),
                io.Float.Input("step", default=0.25, optional=True, tooltip='Light per "brighter".'),
            ],
            outputs=[io.Image.Output(), io.Latent.Output(), io.Mask.Output()],
        )

    @classmethod
    def execute(
        cls,
        prompt: str,
        seed: int,
        batch_size: int = 1,
        fail_on: str = "",
        size: int = 16,
        step: float = 0.25,
    ) -> io.NodeOutput:
        if fail_on and fail_on in prompt:
            raise RuntimeError("the generator fell over")
        shade = min(1.0, step * (1 + prompt.count("brighter"))) - 0.01 * (seed % 10)
        shades = torch.tensor([shade - 0.05 * (batch_size - 1 - i) for i in range(batch_size)])
        latent = {"samples": shades.reshape(-1, 1, 1, 1).expand(batch_size, 4, 2, 2).clone()}
        image = shades.reshape(-1, 1, 1, 1).expand(batch_size, size, size, 3).clone()
        return io.NodeOutput(image, latent, image[..., 0])


class RRTestToyCritic(io.ComfyNode):
    """The critic of toy.py, for every node that takes one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RRTestToyCritic",
            category="tests",
            outputs=[io.Custom("RATIONAL_REWARDS_CRITIC").Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        names = ("critique", "verdict", "aspects")
        return io.NodeOutput(_toy().make(*(_module(f"rr_models.judgement.{name}") for name in names)))


def _toy():
    spec = importlib.util.spec_from_file_location("rr_toy", Path(__file__).resolve().parents[1] / "toy.py")
    toy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy)
    return toy


class RRTestMeasure(io.ComfyNode):
    """Judges brightness: black is 1, white is 4. Its refined request asks for more light."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        candidates = io.Custom("RATIONAL_REWARDS_CANDIDATES")
        return io.Schema(
            node_id="RRTestMeasure",
            category="tests",
            inputs=[
                io.MultiType.Input("image", types=[io.Image, candidates]),
                io.String.Input("request"),
                io.String.Input("prompt", tooltip="What the image was made from."),
                io.Float.Input("blind_above", default=1.0, tooltip="No score for images brighter than this."),
            ],
            outputs=[candidates.Output()],
        )

    @classmethod
    def execute(cls, image, request: str, prompt: str, blind_above: float = 1.0) -> io.NodeOutput:
        candidates = _module("nodes.common.candidates").as_candidates(image)
        return io.NodeOutput(
            tuple(
                replace(one, critique=_judge(one.image, request, prompt, blind_above)) for one in candidates
            )
        )


def _module(name: str):
    """A module of the pack, under the name that the core gave it."""
    from nodes import NODE_CLASS_MAPPINGS

    pack = NODE_CLASS_MAPPINGS["RationalRewardsCritique"].__module__.removesuffix(".nodes.critique")
    return sys.modules[f"{pack}.{name}"]


def _judge(image: torch.Tensor, request: str, prompt: str, blind_above: float):
    critique = _module("rr_models.judgement.critique")
    light = image.mean().item()
    blind = light > blind_above
    return critique.Critique(
        task="t2i",
        request=request,
        aspects=tuple(
            critique.AspectScore(aspect.key, aspect.name)
            if blind
            else critique.AspectScore(aspect.key, aspect.name, critique.SCORED, 1 + 3 * min(light, 1.0))
            for aspect in _module("rr_models.judgement.aspects").RATIONAL_REWARDS.t2i
        ),
        status=critique.INCOMPLETE if blind else critique.COMPLETE,
        refined_request=f"{prompt} brighter",
        notes=("Too bright to look at.",) if blind else (),
    )


class RRTestForget(io.ComfyNode):
    """Passes candidates on, without their critiques from round 2 on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        candidates = io.Custom("RATIONAL_REWARDS_CANDIDATES")
        return io.Schema(
            node_id="RRTestForget",
            category="tests",
            inputs=[candidates.Input("candidates"), io.Int.Input("round")],
            outputs=[candidates.Output()],
        )

    @classmethod
    def execute(cls, candidates, round: int) -> io.NodeOutput:
        if round > 1:
            candidates = tuple(replace(one, critique=None) for one in candidates)
        return io.NodeOutput(candidates)


class RRTestCount(io.ComfyNode):
    """Passes an image on and counts, over the whole process, how often it ran under this name."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RRTestCount",
            category="tests",
            inputs=[io.Image.Input("image"), io.String.Input("name")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, name: str) -> io.NodeOutput:
        RAN.append(name)
        return io.NodeOutput(image)


RAN: list[str] = []


class RRTestList(io.ComfyNode):
    """The lines of a text as a list, so that all that follows runs once per line."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RRTestList",
            category="tests",
            inputs=[io.String.Input("text", multiline=True)],
            outputs=[io.String.Output(is_output_list=True)],
        )

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        return io.NodeOutput(text.splitlines())


class RRTestInts(io.ComfyNode):
    """The numbers of a text as a list."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RRTestInts",
            category="tests",
            inputs=[io.String.Input("text")],
            outputs=[io.Int.Output(is_output_list=True)],
        )

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        return io.NodeOutput([int(word) for word in text.split()])


class RRTestWhileOpen(io.ComfyNode):
    """Opens a while loop as other packs make them: hands on one value of any kind."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RRTestWhileOpen",
            category="tests",
            inputs=[io.AnyType.Input("value")],
            outputs=[io.AnyType.Output()],
        )

    @classmethod
    def execute(cls, value) -> io.NodeOutput:
        return io.NodeOutput(value)


class RRTestWhileClose(io.ComfyNode):
    """Closes it: while `go_on` is true, everything in between runs again on the new value."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RRTestWhileClose",
            category="tests",
            enable_expand=True,
            not_idempotent=True,
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            inputs=[
                io.AnyType.Input("open", raw_link=True),
                io.AnyType.Input("value"),
                io.Boolean.Input("go_on", force_input=True),
            ],
            outputs=[io.AnyType.Output()],
        )

    @classmethod
    def execute(cls, open, value, go_on: bool) -> io.NodeOutput:
        if not go_on:
            return io.NodeOutput(value)
        from comfy_execution.graph_utils import GraphBuilder

        own = _module("nodes.common.graph_copy")
        copies, inputs = own.copy_body(
            cls.hidden.dynprompt, open[0], cls.hidden.unique_id, {"value": value}, GraphBuilder.alloc_prefix()
        )
        again = copies.node("RRTestWhileClose", cls.hidden.unique_id, **inputs)
        return io.NodeOutput(again.out(0), expand=copies.finalize())


class TestNodes(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            RRTestToyCritic,
            RRTestTinyModel,
            RRTestPaint,
            RRTestMeasure,
            RRTestForget,
            RRTestCount,
            RRTestList,
            RRTestInts,
        ] + [
            RRTestWhileOpen,
            RRTestWhileClose,
        ]


async def comfy_entrypoint() -> TestNodes:
    return TestNodes()
