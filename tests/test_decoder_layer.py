"""The layers of the language model: what transformers computes, with plain weights joined and without."""

from __future__ import annotations

import copy

import launches
import pytest
import torch
from rr_tests import tiny

from rr_models.checkpoints.kernels import DEQUANTIZING
from rr_models.checkpoints.quantized_linear import Int8Linear, quantize_layers
from rr_models.critics import local
from rr_models.engine.decoder_layer import Projections, fused
from rr_models.engine.kv_cache import KVCache
from rr_models.engine.model_runner import ModelRunner

PROMPT, STEPS = 20, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.make_random(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def model(folder):
    """With norms that differ between channels; those of the folder are all 1."""
    model, generator = local.load(folder).model, torch.Generator().manual_seed(3)
    for module in model.model.language_model.modules():
        if "RMSNorm" in type(module).__name__:
            weight = 0.5 + torch.rand(module.weight.shape, generator=generator)
            module.weight = torch.nn.Parameter(weight, requires_grad=False)
    return model


def weights(model) -> dict[str, torch.Tensor]:
    return {name: parameter.clone() for name, parameter in model.named_parameters()}


@torch.inference_mode()
def ours(model, ids: torch.Tensor, fuse: bool) -> torch.Tensor:
    """Logits after each of the last tokens, which are fed one by one in the second of two rows."""
    runner = ModelRunner(model, KVCache(model, 2, 512), fuse)
    positions = torch.arange(PROMPT).expand(3, 1, PROMPT)
    nowhere = torch.zeros(PROMPT, dtype=torch.bool)
    logits = [runner.logits(runner.prefill(1, 0, runner.embed(ids[:PROMPT].tolist()), positions, nowhere))]
    for column in range(PROMPT, PROMPT + STEPS):
        here = torch.tensor([[column]])
        mask = torch.arange(64) <= here[..., None]
        token, padded = ids[column].expand(3, 1), here.expand(3, 1)  # a row alone, padded to three
        logits.append(runner.forward(token, padded, here, mask, torch.zeros(3, 1, dtype=int), 1)[0])
    return torch.cat(logits)


@torch.inference_mode()
def theirs(model, ids: torch.Tensor) -> torch.Tensor:
    return model(input_ids=ids[None]).logits[0, PROMPT - 1 :].float()


@pytest.fixture(scope="module")
def ids() -> torch.Tensor:
    return torch.randint(10, 60, (PROMPT + STEPS,), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("fuse", [False, True])
def test_logits_are_those_of_transformers(model, ids, fuse: bool):
    wanted = theirs(model, ids)
    assert torch.allclose(ours(model, ids, fuse), wanted, atol=2e-5 * wanted.std())
    assert torch.allclose(theirs(model, ids), wanted, atol=2e-5 * wanted.std()), "also from joined weights"


@pytest.mark.parametrize("fuse", [False, True])
def test_in_16_bit_logits_are_as_near_to_exact_ones_as_those_of_transformers(model, ids, fuse: bool):
    exact = theirs(copy.deepcopy(model).bfloat16().float(), ids)  # of the same, rounded weights
    model = copy.deepcopy(model).bfloat16()

    def error(logits: torch.Tensor) -> float:
        return float((logits - exact).pow(2).mean().sqrt() / exact.std())

    assert error(ours(model, ids, fuse)) < 1.1 * error(theirs(model, ids)) < 0.1


def test_quantized_layers_are_left_as_they_are(model, ids):
    plain = theirs(model, ids)
    stored = weights(model)
    language_model = model.model.language_model
    quantize_layers(language_model, "int8", torch.float32, DEQUANTIZING)
    for name, layer in model.named_modules():
        if isinstance(layer, Int8Linear):
            layer.quantize(stored[f"{name}.weight"])
    logits = ours(model, ids, fuse=True)
    assert torch.allclose(logits, theirs(model, ids), atol=2e-5 * plain.std())
    assert not torch.allclose(logits, plain, atol=2e-5 * plain.std())
    assert all(isinstance(layer.self_attn.q_proj, Int8Linear) for layer in language_model.layers)


def test_joined_weights_are_the_same_and_in_memory_once(model):
    before = weights(model)
    ModelRunner(model, KVCache(model, 1, 512), fuse=True)
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    for layer in model.model.language_model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for layers in ([attention.q_proj, attention.k_proj, attention.v_proj], [mlp.gate_proj, mlp.up_proj]):
            storage = layers[0].weight.untyped_storage()
            assert {layer.weight.untyped_storage().data_ptr() for layer in layers} == {storage.data_ptr()}
            assert storage.nbytes() == sum(layer.weight.nbytes for layer in layers)
    addresses = [parameter.data_ptr() for parameter in after.values()]
    ModelRunner(model, KVCache(model, 1, 512), fuse=True)
    assert [parameter.data_ptr() for parameter in model.parameters()] == addresses, "not copied again"


def test_weights_that_were_moved_are_joined_anew(model, ids):
    logits = ours(model, ids, fuse=True)
    for parameter in model.parameters():  # as model.to(device) does
        parameter.data = parameter.data.clone()
    attention = model.model.language_model.layers[0].self_attn
    assert attention.q_proj.weight.untyped_storage().nbytes() == attention.q_proj.weight.nbytes
    assert torch.equal(ours(model, ids, fuse=True), logits)


def test_joined_weights_leave_and_come_back(folder, ids):
    critic = local.load(folder)
    logits = ours(critic.model, ids, fuse=True)
    critic.weights.unload()
    assert all(parameter.is_meta for parameter in critic.model.parameters())
    critic.weights.load(torch.device("cpu"))
    assert torch.equal(ours(critic.model, ids, fuse=True), logits)


def test_weights_that_lie_side_by_side_by_chance_are_used_where_they_are():
    whole = torch.randn(10, 4)
    layers = []
    for part in whole.split((4, 6)):
        layers.append(torch.nn.Linear(4, len(part), bias=False))
        layers[-1].weight = torch.nn.Parameter(part, requires_grad=False)
    assert fused(layers).data_ptr() == whole.data_ptr()
    assert torch.equal(fused(layers), whole)
    assert fused(layers[::-1]).data_ptr() != whole.data_ptr()
    assert torch.equal(fused(layers[::-1]), torch.cat([whole[4:], whole[:4]]))


@pytest.mark.parametrize("spoil", ["bias", "class"])
def test_what_is_more_than_a_product_is_not_joined(spoil: str):
    class Other(torch.nn.Linear):
        pass

    layers = [
        torch.nn.Linear(4, 3, bias=False),
        (Other if spoil == "class" else torch.nn.Linear)(4, 5, spoil == "bias"),
    ]
    both = Projections(layers, fuse=True)
    x = torch.randn(2, 4)
    assert both.weight is None
    assert torch.equal(both.side_by_side(x), torch.cat([layer(x) for layer in layers], -1))
    assert [len(out.T) for out in both(x)] == [3, 5]


@torch.inference_mode()
def test_prefilling_leaves_its_input_as_it_was(model):
    runner = ModelRunner(model, KVCache(model, 1, 512))
    hidden = runner.embed([11, 12, 13])
    before = hidden.clone()
    runner.prefill(0, 0, hidden, torch.arange(3).expand(3, 1, 3), torch.zeros(3, dtype=torch.bool))
    assert torch.equal(hidden, before)


@pytest.mark.gpu
def test_on_a_card_joining_takes_no_memory(model):
    torch.cuda.empty_cache()
    model.to("cuda")
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated()
    runner = ModelRunner(model, cache := KVCache(model, 1, 512))
    torch.cuda.synchronize()
    assert runner.layers[0].projections.weight is not None
    small = runner.rotary.weights.nbytes + runner.rotary.table.nbytes
    assert torch.cuda.memory_allocated() - held <= cache.nbytes + small + 512 * 3 * len(runner.layers)


def test_a_layer_takes_no_more_launches_than_documented():
    """14 for 8 rows; one more where a row alone is padded to 8 (benchmarks/launches.py)."""
    models = [launches.make(count) for count in (1, 2)]
    for rows, most in ((8, 14), (1, 15)):
        one, two = (launches.step(model, rows, 1, 1).total() for model in models)
        assert 0 < two - one <= most
