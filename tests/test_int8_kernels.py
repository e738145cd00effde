"""Packed int8 kernels: each computes what dequantizing does; one is used only where it is fast and right."""

from __future__ import annotations

import logging
import random
import re
from pathlib import Path

import pytest
import torch
from rr_tests import tiny

from rr_models.checkpoints import kernels, quantized_linear
from rr_models.checkpoints.model_folder import SHAPES_CRITIC
from rr_models.checkpoints.precision import INT8, Precision
from rr_models.critics import local
from rr_models.critics.judging import critique
from rr_models.images import from_pil
from rr_models.judgement.task import Task
from rr_models.shapes import cases
from rr_models.shapes.draw import draw

CPU, CARD = torch.device("cpu"), torch.device("cuda")
PACKED = (kernels.INT8PACK, kernels.COMFY_KITCHEN)
choose_anew = kernels.choose_int8_kernel.__wrapped__
packed = pytest.mark.parametrize("kernel", PACKED, ids=lambda kernel: kernel.name)


def needs(kernel: kernels.Kernel) -> None:
    if kernel is kernels.COMFY_KITCHEN:
        pytest.importorskip("comfy_kitchen")
    elif not hasattr(torch, "_weight_int8pack_mm"):
        pytest.skip("this torch has no _weight_int8pack_mm")


def layer(kernel: kernels.Kernel, inputs: int = 512, outputs: int = 96) -> quantized_linear.Int8Linear:
    """The same weights for every kernel; rows of very different size, which have scales of their own."""
    generator = torch.Generator().manual_seed(1)
    made = quantized_linear.Int8Linear(inputs, outputs, False, torch.float32)
    made.set_kernel(kernel)
    weight = torch.randn(outputs, inputs, generator=generator)
    made.quantize(weight * torch.logspace(-3, 1, outputs)[:, None])
    return made


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


@packed
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(1, 512), (8, 1, 512), (2, 20, 512), (3, 70, 512)], ids=str)
def test_a_packed_kernel_computes_what_dequantizing_does(kernel, dtype, shape):
    needs(kernel)
    x = numbers(*shape).to(dtype)
    wanted, got = layer(kernels.DEQUANTIZING)(x.float()), layer(kernel)(x)
    assert got.shape == (*shape[:-1], 96) and got.dtype == dtype
    sizes = layer(kernels.DEQUANTIZING)(numbers(200, 512)).pow(2).mean(0).sqrt()
    off = (got.float() - wanted) / sizes
    assert off.pow(2).mean().sqrt() < 0.02 and off.abs().max() < 0.1


def test_torchs_kernel_multiplies_few_rows_and_comfy_kitchens_any():
    plain = layer(kernels.DEQUANTIZING)
    for kernel, dequantized in {
        kernels.INT8PACK: [False, False, True],
        kernels.COMFY_KITCHEN: [False] * 3,
    }.items():
        needs(kernel)
        x = numbers(33, 512)
        equal = [torch.equal(layer(kernel)(x[:rows]), plain(x[:rows])) for rows in (1, 32, 33)]
        assert equal == dequantized


@packed
def test_the_largest_sums_do_not_overflow(kernel):
    needs(kernel)
    made = quantized_linear.Int8Linear(12_288, 16, False, torch.float32)
    made.set_kernel(kernel)
    made.quantize(torch.ones(16, 12_288) * torch.tensor([1.0, -1.0]).repeat(8)[:, None])
    for rows in (1, 8):
        assert torch.allclose(made(torch.ones(rows, 12_288)).abs(), torch.tensor(12_288.0), rtol=0.01)


def test_a_row_of_torchs_kernel_does_not_depend_on_its_neighbours():
    needs(kernels.INT8PACK)
    x, made = numbers(8, 512), layer(kernels.INT8PACK)
    together = made(x)
    assert all(torch.equal(made(x[i : i + 1]), together[i : i + 1]) for i in range(8))


@pytest.mark.parametrize("inputs", [4096, 12_288, 192, 48])
def test_a_rotation_keeps_products_and_done_twice_gives_the_weight_back(inputs):
    weight, x = numbers(20, inputs), numbers(3, inputs) * 2
    rotated = kernels.hadamard_rotated(weight)
    assert torch.allclose(kernels.hadamard_rotated(rotated), weight, atol=1e-5)
    assert torch.allclose(kernels.hadamard_rotated(x) @ rotated.T, x @ weight.T, atol=1e-3)
    assert (rotated - weight).abs().max() > 1


@packed
def test_a_few_large_channels_do_not_cost_the_others_their_accuracy(kernel):
    """As language models have them. Without the rotation, activations in 8 bits are off by 0.08 here."""
    needs(kernel)
    x = numbers(16, 4096)
    x[:, [5, 1000, 1001, 4000]] *= 30
    weight = torch.randn(64, 4096, generator=torch.Generator().manual_seed(1))
    made = quantized_linear.Int8Linear(4096, 64, False, torch.float32)
    made.set_kernel(kernel)
    made.quantize(weight)
    wanted = x @ weight.T
    assert (made(x) - wanted).pow(2).mean().sqrt() < 0.015 * wanted.pow(2).mean().sqrt()


@packed
def test_not_a_number_stays_not_a_number(kernel):
    needs(kernel)
    x = numbers(3, 512)
    x[1, 7] = torch.nan
    found = layer(kernel)(x)
    assert found[1].isnan().all() and found[[0, 2]].isfinite().all()


@packed
@pytest.mark.parametrize("shape", [(40, 32), (32, 40), (6, 6)])
def test_a_shape_that_a_kernel_cannot_read_is_dequantized(kernel, shape):
    x = numbers(4, shape[0])
    assert torch.equal(layer(kernel, *shape)(x), layer(kernels.DEQUANTIZING, *shape)(x))


def test_a_row_with_another_layout_is_read_rightly():
    """torch's kernel asks for aligned, contiguous rows and does not check that it gets them."""
    needs(kernels.INT8PACK)
    wide = numbers(4, 1030).bfloat16()
    made = layer(kernels.INT8PACK)
    for x in (wide[:, 3:515], wide[:, 1:1025:2], wide[1, 5:517], wide.T[:512].T):
        assert torch.equal(made(x), made(x.clone(memory_format=torch.contiguous_format)))


@pytest.mark.parametrize(
    ("instructions", "system", "fast"),
    [
        ("AVX2", "linux", True),
        ("AVX512", "linux", True),
        ("AVX2", "darwin", True),
        ("AVX2", "win32", False),
        ("DEFAULT", "linux", False),
    ],
)
def test_torchs_kernel_is_chosen_where_it_is_vectorized(monkeypatch, instructions, system, fast):
    needs(kernels.INT8PACK)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    monkeypatch.setattr(kernels.sys, "platform", system)
    chosen = kernels.INT8PACK if fast else kernels.DEQUANTIZING
    assert choose_anew(CPU, torch.float32) == chosen
    assert choose_anew(CPU, torch.float16) == kernels.DEQUANTIZING


def test_a_torch_without_the_kernel_dequantizes(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.delattr(torch, "_weight_int8pack_mm", raising=False)
    assert choose_anew(CPU, torch.float32) == kernels.DEQUANTIZING


@pytest.mark.parametrize(
    ("backend", "fast"), [("cuda", True), ("hip", True), ("triton", False), ("eager", False), ("", False)]
)
def test_comfy_kitchen_is_chosen_where_it_has_a_compiled_kernel(monkeypatch, backend, fast):
    monkeypatch.setattr(kernels, "_kitchen_backend", lambda device, dtype: backend)
    monkeypatch.setattr(kernels, "_fault", lambda *_: "")
    chosen = kernels.COMFY_KITCHEN if fast else kernels.DEQUANTIZING
    assert choose_anew(CARD, torch.bfloat16) == chosen
    assert choose_anew(torch.device("mps"), torch.float16) == kernels.DEQUANTIZING


def test_comfy_kitchen_says_by_which_backend_it_multiplies(monkeypatch):
    kitchen = pytest.importorskip("comfy_kitchen")
    assert kernels._kitchen_backend(CPU, torch.float32) == "eager"
    assert kernels._kitchen_backend(CPU, torch.float64) == ""  # none takes that
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert kernels._kitchen_backend(CARD, torch.bfloat16) == ""
    monkeypatch.delattr(kitchen, "int8_linear")  # as 0.2.7 to 0.2.10 are
    assert kernels._kitchen_backend(CPU, torch.float32) == ""


def raising(x, weight, scale):
    raise RuntimeError("no kernel image is available\nfor this card")


def saturating(x, weight, scale):
    """As sums in 16 bit would be."""
    return (x.float() @ weight.float().T).clamp(-32_768 / 2, 32_767 / 2).to(x.dtype) * scale.to(x.dtype)


@pytest.mark.parametrize(
    ("multiply", "reason"),
    [
        (raising, r"fails \(no kernel image is available\)"),
        (saturating, "is wrong by .* for 2 rows"),
        (lambda x, weight, scale: kernels.dequantized_linear(x, weight, scale[:1]), "is wrong by"),
        (lambda x, weight, scale: kernels.dequantized_linear(x, weight, scale.flip(0)), "is wrong by"),
        (lambda x, weight, scale: kernels.dequantized_linear(x, weight, scale).roll(1, 0), "is wrong by"),
        (
            lambda x, weight, scale: kernels.dequantized_linear(x, weight, scale) * torch.nan,
            "is wrong by nan",
        ),
    ],
    ids=["raises", "saturates", "one scale", "scales reversed", "rows mixed up", "no numbers"],
)
def test_a_kernel_that_multiplies_wrongly_is_not_used_and_the_log_says_so(
    monkeypatch, caplog, multiply, reason
):
    broken = kernels.Kernel("broken", multiply)
    monkeypatch.setattr(kernels, "_expected_kernel", lambda device, dtype: broken)
    with caplog.at_level(logging.WARNING):
        assert choose_anew(CPU, torch.float32) == kernels.DEQUANTIZING
    (record,) = caplog.records
    assert re.match(f"int8 weights are dequantized on cpu: broken {reason}", record.getMessage())


@packed
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_kernel_that_multiplies_rightly_passes_the_trial(kernel, dtype):
    needs(kernel)
    assert kernels._fault(kernel, CPU, dtype) == ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("models") / "tiny")


def loaded(folder: Path, kernel: kernels.Kernel) -> local.LocalCritic:
    critic = local.prepare(folder, CPU, Precision(INT8, torch.float32, kernel=kernel))
    critic.weights.load(CPU)
    return critic


def test_judgements_and_cached_answers_tell_kernels_apart(folder):
    image = numbers(64, 64, 3).sigmoid()
    identities = {}
    for kernel in (kernels.DEQUANTIZING, *PACKED):
        needs(kernel)
        critic = loaded(folder, kernel)
        label = f"int8 ({kernel.name})" if kernel.name else "int8"
        identities[critic.identity(Task.T2I)] = kernel
        judged = critique(critic, [image], "a fox", detail="scores", max_new_tokens=300)[0]
        assert judged.source["precision"] == critic.precision == label
    assert len(identities) == 3


@pytest.mark.slow
@packed
def test_the_shapes_critic_gives_the_same_scores(kernel):
    """500 of them: benchmarks/int8_kernels.py."""
    needs(kernel)
    rng = random.Random(5)
    drawn = [cases.random_case(rng, "t2i", test=True) for _ in range(4)]
    scores = []
    for each in (kernels.DEQUANTIZING, kernel):
        critic = loaded(SHAPES_CRITIC, each)
        judged = [
            critique(critic, [from_pil(draw(case.rendering, 128, 1))], case.request, detail="scores")[0]
            for case in drawn
        ]
        scores.append([[aspect.score for aspect in one.aspects] for one in judged])
    assert scores[0] == scores[1] and any(score for one in scores[0] for score in one)


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 8, 600])
def test_on_a_card_the_chosen_kernel_is_right_and_can_be_replayed(rows):
    """The kernel of the card at hand, whichever that is, in a CUDA graph."""
    made = layer(choose_anew(CARD, torch.bfloat16)).to(CARD)
    x = numbers(rows, 512).to(CARD, torch.bfloat16)
    plain = made(x)
    wanted = layer(kernels.DEQUANTIZING)(x.cpu().float())
    assert (plain.cpu().float() - wanted).pow(2).mean().sqrt() < 0.02 * wanted.pow(2).mean().sqrt()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        replayed = made(x)
    graph.replay()
    assert torch.equal(replayed, plain)
