"""DTMR: hand values, a slow version, and what each part may not do."""

from __future__ import annotations

import pickle
from typing import Any, get_args

import pytest
import torch
from dtmr_slow import one_sentence, through
from grounder_slow import one_sentence as one_whole_sentence
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.models import resnet18

from wsss_lib.backbones import backbone
from wsss_lib.methods import registry
from wsss_lib.methods.dtmr import (
    DTMR,
    Attention,
    DTMRConfig,
    Pairs,
    PairScorer,
    UnitScorer,
    best_pair,
    joined,
    over_pairs,
    weights,
    word_code,
    word_codes,
)
from wsss_lib.methods.regions import PLACE, regions_of
from wsss_lib.methods.triads import parse
from wsss_lib.train import TrainConfig, fit

NAMES = registry.names("grounding")
SENTENCES = ["the rust fenn", "the fenn left of the taur", "the olif"]


def built(name: str = "dtmr", seed: int = 0, **settings: Any) -> Any:
    torch.manual_seed(seed)
    net = backbone("tiny_cnn", widths=(4, 6, 8, 10))
    entry = registry.entry(name)
    config = entry.configured(**({"width": 8, "words": 16, "place": 4} | settings))
    method = registry.build(name, net, 6, config).double().eval()
    method.standardise.running_mean.uniform_(-0.5, 0.5)
    method.standardise.running_var.uniform_(0.5, 2)
    return method


def batch_of(counts: tuple[int, ...] = (4, 2), said: tuple[int, ...] = (3, 1), seed: int = 1) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    corners = [torch.rand(count, 2, generator=generator) * 16 for count in counts]
    proposals = [torch.cat([c, c + 8 + 8 * torch.rand(len(c), 2, generator=generator)], 1) for c in corners]
    return {
        "images": torch.rand(len(counts), 3, 32, 32, generator=generator).double(),
        "proposals": proposals,
        "sentences": [SENTENCES[:number] for number in said],
    }


def test_a_pair_is_its_number_by_rows() -> None:
    scores = torch.zeros(2, 3, 3)
    scores[0, 1, 2] = 1  # k = 1 · 3 + 2 = 5
    scores[1, 2, 0] = 1  # k = 6
    assert [each.tolist() for each in best_pair(scores)] == [[1, 2], [2, 0]]


def test_even_scores_give_the_mean_region() -> None:
    pairs = Pairs(torch.zeros(1, 3), torch.zeros(1, 3), torch.zeros(1, 3, 3), torch.ones(1, 3) > 0)
    v = torch.rand(1, 3, 5)
    for attention in ("shared", "independent"):
        for weight in weights(pairs, attention):
            torch.testing.assert_close(torch.einsum("sij,sid->sd", weight, v), v.mean(1))


def test_raw_scores_sum_over_the_other_index() -> None:
    """z_t = P Σ_i s_i v_i: the reference does not matter to the target's score."""
    target = torch.randn(1, 4)
    pairs = Pairs(target, torch.randn(1, 4), torch.randn(1, 4, 4), torch.ones(1, 4) > 0)
    v = torch.rand(1, 4, 5)
    t, r, d = weights(pairs, "raw")
    torch.testing.assert_close(torch.einsum("sij,sid->sd", t, v), 4 * torch.einsum("si,sid->sd", target, v))
    torch.testing.assert_close(r[0, 0], pairs.reference[0])
    assert torch.equal(d, pairs.word)


def test_the_joint_score_by_hand() -> None:
    pairs = Pairs(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[10.0, 20.0]]), torch.tensor([[[0.0, 100], [200, 300]]]),
        torch.ones(1, 2) > 0,
    )  # fmt: skip
    assert joined(pairs)[0].tolist() == [[12, 122], [214, 324]]
    shared = weights(pairs, "shared")
    assert shared[0] is shared[1] is shared[2]
    torch.testing.assert_close(shared[0].sum((1, 2)), torch.ones(1))
    even = over_pairs(torch.zeros(2, 3, 3))
    torch.testing.assert_close(even, torch.full((2, 3, 3), 1 / 9))


@pytest.mark.parametrize("attention", get_args(Attention))
def test_padding_weighs_nothing(attention: Attention) -> None:
    real = torch.tensor([[True, True, False]])
    pairs = Pairs(torch.randn(1, 3), torch.randn(1, 3), torch.randn(1, 3, 3), real)
    for weight in weights(pairs, attention):
        assert not weight[0, 2].any()
        assert not weight[0, :, 2].any()
        assert weight.isfinite().all()
    high = pairs._replace(word=pairs.word.clone())
    high.word[0, 2] = 1e3
    assert best_pair(joined(high))[0].item() != 2


def test_the_first_layers_are_one_matrix_taken_apart() -> None:
    torch.manual_seed(0)
    pair, unit = PairScorer(5, 7, 8).double(), UnitScorer(5, 7, 8).double()
    regions, owner = torch.rand(2, 3, 7).double(), torch.tensor([1, 0, 1])
    triads, words = torch.rand(3, 15).double(), torch.rand(3, 5).double()
    weight = torch.cat([pair.words.weight, pair.target.weight, pair.reference.weight], 1)  # W
    scores = pair(triads, regions, owner)
    single = unit(words, regions, owner)
    for s in range(3):
        of_image = regions[owner[s]]
        for i in range(3):
            one = torch.cat([unit.word.weight, unit.region.weight], 1) @ torch.cat([words[s], of_image[i]])
            torch.testing.assert_close(through(unit.rest, one + unit.word.bias)[0], single[s, i])
            for j in range(3):
                first = weight @ torch.cat([triads[s], of_image[i], of_image[j]]) + pair.words.bias
                torch.testing.assert_close(through(pair.rest, first)[0], scores[s, i, j], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("attention", get_args(Attention))
def test_losses_and_answers_equal_the_slow_version(attention: Attention) -> None:
    method, batch = built(attention=attention), batch_of()
    terms = method.losses(batch)
    regions = regions_of(method.backbone, batch["images"], batch["proposals"])
    errors, boxes = [], []
    for region, proposals, texts in zip(regions, batch["proposals"], batch["sentences"], strict=True):
        standard = (region - method.standardise.running_mean) / (method.standardise.running_var + 1e-5).sqrt()
        v, u = standard[:, :-PLACE], torch.cat([standard[:, :-PLACE], method.place(standard[:, -PLACE:])], 1)
        for text in texts:
            codes = [word_code(word, 16).double() for word in parse(text)]
            each, target = one_sentence(method, v, u, codes)
            errors.append(each)
            boxes.append(proposals[target])
    learning = [p for p in method.parameters() if p.requires_grad]
    for number, name in enumerate(("target", "reference", "discriminative")):
        loss = torch.stack([each[number] for each in errors]).mean()
        torch.testing.assert_close(terms[name], loss)
        slow, fast = (
            torch.autograd.grad(each, learning, retain_graph=True, allow_unused=True, materialize_grads=True)
            for each in (loss, terms[name])
        )
        for one, other in zip(slow, fast, strict=True):
            torch.testing.assert_close(one, other)
    torch.testing.assert_close(torch.cat(method.answer(batch)), torch.stack(boxes))


def test_a_whole_sentence_equals_the_slow_version() -> None:
    """GroundeR: sentences of unlike lengths, an image with fewer regions, and a mean over words, not over sentences."""
    method, batch = built("grounder"), batch_of()
    regions = regions_of(method.backbone, batch["images"], batch["proposals"])
    errors, boxes = [], []
    for region, proposals, texts in zip(regions, batch["proposals"], batch["sentences"], strict=True):
        standard = (region - method.standardise.running_mean) / (method.standardise.running_var + 1e-5).sqrt()
        u = torch.cat([standard[:, :-PLACE], method.place(standard[:, -PLACE:])], 1)
        for text in texts:
            each, target = one_whole_sentence(method, u, [word_code(word, 16).double() for word in text.split()])
            errors += each
            boxes.append(proposals[target])
    assert len(errors) == 3 + 6 + 2 + 3
    loss = torch.stack(errors).mean()
    terms = method.losses(batch)
    torch.testing.assert_close(terms["sentence"], loss)
    torch.testing.assert_close(torch.cat(method.answer(batch)), torch.stack(boxes))
    learning = [p for p in method.parameters() if p.requires_grad]
    slow, fast = (torch.autograd.grad(each, learning) for each in (loss, terms["sentence"]))
    for one, other in zip(slow, fast, strict=True):
        torch.testing.assert_close(one, other)


def test_a_perfect_oracle_has_no_loss() -> None:
    method, batch = built(), batch_of(said=(1, 1))
    codes = word_codes(["fenn", "fenn", "rust"], 16).double()
    for part, code in ((method.rebuild_thing, codes[0]), (method.rebuild_word, codes[2])):
        nn.init.zeros_(part[2].weight)
        part[2].bias.data.copy_(code)
    assert all(term == 0 for term in method.losses(batch).values())


def test_permuted_proposals_permute_the_answer() -> None:
    method, batch = built(), batch_of((5,), (3,))
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = batch | {"proposals": [batch["proposals"][0][order]]}
    torch.testing.assert_close(method.answer(turned)[0], method.answer(batch)[0])
    for name, term in method.losses(turned).items():
        torch.testing.assert_close(term, method.losses(batch)[name])


def test_word_codes_are_fixed_and_far_apart() -> None:
    words = [f"word{n}" for n in range(40)]
    codes = word_codes(words, 64)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(word_code("fenn", 300)[:64], word_code("fenn", 64))
    assert word_code("fenn", 4).tolist() == [-1, 1, -1, 1]
    alike = codes @ codes.T / 64
    assert (alike - torch.eye(40)).abs().max() < 0.6
    assert word_codes([], 7).shape == (0, 7)


def test_units_that_are_off_score_and_teach_nothing() -> None:
    batch = batch_of()
    method = built(reference=False)
    pairs, *_ = method.match(batch)
    assert not pairs.reference.any()
    terms = method.losses(batch)
    assert terms["reference"] == 0 < terms["discriminative"]
    category = built(reference=False, discriminative=False)
    pairs, *_ = category.match(batch)
    assert not pairs.word.any()
    assert category.losses(batch)["discriminative"] == 0


@pytest.mark.parametrize("name", NAMES)
class TestEveryGrounder:
    def test_an_image_without_a_proposal_gets_empty_boxes(self, name: str) -> None:
        method, batch = built(name), batch_of((0, 3, 0), (2, 1, 0))
        boxes = method.answer(batch)
        assert [each.shape for each in boxes] == [(2, 4), (1, 4), (0, 4)]
        assert not boxes[0].any()
        alone = {key: value[1:2] for key, value in batch.items()}
        torch.testing.assert_close(boxes[1], method.answer(alone)[0])
        for key, term in method.losses(batch).items():
            torch.testing.assert_close(term, method.losses(alone)[key])

    def test_nothing_at_all(self, name: str) -> None:
        method = built(name).train()
        for batch in (batch_of((0, 0), (1, 2)), batch_of((3, 1), (0, 0)), batch_of((0,), (0,))):
            terms = method.losses(batch)
            assert all(term == 0 and term.requires_grad for term in terms.values())
            assert [len(each) for each in method.answer(batch)] == [len(each) for each in batch["sentences"]]

    def test_one_region_alone_can_be_trained_on(self, name: str) -> None:
        method = built(name).train()
        terms = method.losses(batch_of((1,), (2,)))
        assert all(term.isfinite() for term in terms.values())

    def test_regions_stand_for_images(self, name: str) -> None:
        method, batch = built(name), batch_of()
        kept = {key: value for key, value in batch.items() if key != "images"}
        kept["regions"] = regions_of(method.backbone, batch["images"], batch["proposals"])
        for key, term in method.losses(batch).items():
            torch.testing.assert_close(method.losses(kept)[key], term)
        torch.testing.assert_close(method.answer(kept), method.answer(batch))

    def test_the_backbone_is_frozen_and_all_else_learns(self, name: str) -> None:
        method = built(name).train()
        torch.stack(list(method.losses(batch_of()).values())).sum().backward()
        for key, parameter in method.named_parameters():
            if key.startswith("backbone."):
                assert parameter.grad is None
                assert not parameter.requires_grad
            else:
                assert parameter.grad is not None, key
        assert {group["name"] for group in method.parameter_groups(0.1)} == {"head"}

    def test_gradients_are_right(self, name: str) -> None:
        method, batch = built(name), batch_of()
        parameters = [p for p in method.parameters() if p.requires_grad]
        before = torch.stack(list(method.losses(batch).values())).sum()
        slopes = torch.autograd.grad(before, parameters)
        norm = torch.stack([slope.square().sum() for slope in slopes]).sum()
        step = 1e-6 / float(norm.sqrt())
        with torch.no_grad():
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter.sub_(slope, alpha=step)
        after = torch.stack(list(method.losses(batch).values())).sum()
        assert (before - after).item() == pytest.approx(step * float(norm), rel=1e-3)

    def test_on_a_gpu_that_is_not_there(self, name: str) -> None:
        if name == "grounder":
            pytest.skip("torch's LSTM asks for a real driver")
        method, batch = built(name).float().train(), batch_of()
        with FakeTensorMode(allow_non_fake_inputs=True):
            for module in method.modules():
                for key, value in module._parameters.items():
                    if value is not None:
                        module._parameters[key] = nn.Parameter(torch.empty(value.shape, device="cuda"))
                for key, value in module._buffers.items():
                    if value is not None:
                        module._buffers[key] = torch.empty(value.shape, dtype=value.dtype, device="cuda")
            on_gpu = batch | {
                "images": torch.rand(2, 3, 32, 32, device="cuda"),
                "proposals": [torch.rand(len(each), 4, device="cuda") for each in batch["proposals"]],
            }
            assert {term.device.type for term in method.losses(on_gpu).values()} == {"cuda"}
            assert {boxes.device.type for boxes in method.answer(on_gpu)} == {"cuda"}

    def test_another_network_than_a_backbone(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"got ResNet, expected a backbone"):
            registry.entry(name).method(resnet18())

    def test_settings(self, name: str) -> None:
        settings = registry.entry(name).configured()
        assert pickle.loads(pickle.dumps(settings)) == settings
        for wrong in ("width", "words", "place"):
            with pytest.raises(ValueError, match=f"{wrong} is 0, expected at least 1"):
                registry.entry(name).configured(**{wrong: 0})


def test_the_paper_has_settings() -> None:
    paper = DTMRConfig.paper()
    assert (paper.attention, paper.width, paper.words, paper.place) == ("raw", 512, 300, 512)
    with pytest.raises(ValueError, match="attention is 'hard', expected one of"):
        DTMRConfig(attention="hard")  # type: ignore[arg-type]


def test_it_learns_and_resumes(tmp_path: Any) -> None:
    """Two colours of one species: what a handful of steps must learn, with a run that was cut off in between."""
    from wsss_lib.data.worlds.sentences import Sentences, World
    from wsss_lib.train.region_memory import RegionRecords

    net = backbone("tiny_cnn", weights="shipped")
    records = RegionRecords(Sentences(World(size=64), "train", 40), net)
    config = TrainConfig(steps=12, batch_size=8, optimiser="adamw", lr=5e-3, checkpoint_every=5)
    methods = []
    for folder in (None, tmp_path):
        torch.manual_seed(0)
        method = DTMR(backbone("tiny_cnn", weights="shipped"), 6, DTMRConfig(width=16))
        if folder is not None:
            torch.manual_seed(0)
            fit(method, records, config, out_dir=folder, progress="none")
            for path in sorted(folder.rglob("*00012*")):
                path.unlink() if path.is_file() else None
            method = DTMR(backbone("tiny_cnn", weights="shipped"), 6, DTMRConfig(width=16))
        history = fit(method, records, config, out_dir=folder, progress="none")
        methods.append(method)
    assert history.loss[-1] < history.loss[0]
    assert set(history.terms) == {"target", "reference", "discriminative"}
    for one, other in zip(methods[0].parameters(), methods[1].parameters(), strict=True):
        assert torch.equal(one, other)
