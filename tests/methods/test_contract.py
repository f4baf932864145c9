"""What every registered method promises. A method that registers itself is tested here without another line."""

from __future__ import annotations

import dataclasses
import pickle
from collections import Counter
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torchvision.models import resnet18

from wsss_lib import maps
from wsss_lib.backbones import Backbone, backbone
from wsss_lib.methods import Method, Prediction, registry
from wsss_lib.methods.contract import Phase, Progress, Settings, check_labels
from wsss_lib.train import TrainConfig

NAMES = registry.names("maps")
TRAINED = [name for name in NAMES if registry.entry(name).trained]
WITH_SETTINGS = [name for name in NAMES if registry.entry(name).settings]
# Images, classes, height, width: one of each, odd sides, one class only.
SIZES = [(1, 1, 48, 48), (3, 5, 45, 61), (2, 7, 64, 40)]


def small_backbone(name: str) -> Backbone:
    """The backbone on which a method can be tried, with few channels."""
    options: dict[str, dict[str, Any]] = {
        "tiny_cnn": {"widths": (4, 6, 8, 10)},
        "tiny_vit": {"dim": 16, "heads": 2, "image_size": 48},
    }
    kind = registry.entry(name).backbone
    return backbone(kind, **options[kind])


def built(name: str, classes: int = 5, seed: int = 0, settings: Any = None) -> Method:
    torch.manual_seed(seed)
    return registry.build(name, small_backbone(name), classes, settings)


def batch_of(n: int = 3, classes: int = 5, height: int = 48, width: int = 48, seed: int = 1) -> Any:
    """Images that each show exactly one class, so that every kind of classification takes them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.eye(classes)[torch.arange(n) % classes]
    images = torch.rand(n, 3, height, width, generator=generator)
    masks = torch.randint(2, (n, height, width), generator=generator) * (labels.argmax(1) + 1)[:, None, None]
    superpixels = torch.arange(height)[:, None] // 6 * 20 + torch.arange(width) // 6 + 1
    planes = {"masks": masks, "superpixels": superpixels.expand(n, height, width)}
    return {"images": images, "labels": labels} | planes


def enter(method: Method, number: int) -> None:
    """Begin a phase; where there is one alone, the method is as it is outside of a run, past its warm-up."""
    phases = method.phases()
    if len(phases) > 1:
        method.before_step(Progress(number, len(phases), phases[number].name, 0, 1))


def losses_of(method: Method, batch: Any) -> dict[str, Tensor]:
    torch.manual_seed(2)
    return method.losses(batch)  # type: ignore[operator, no-any-return]


def modes(method: nn.Module) -> list[bool]:
    return [module.training for module in method.modules()]


def in_range(values: Tensor) -> bool:
    values = values.detach()
    return bool(values.isfinite().all()) and 0 <= float(values.min()) <= float(values.max()) <= 1


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestRegistry:
    def test_every_method_of_the_package_is_registered(self) -> None:
        import wsss_lib.methods as package

        classes = {value for value in vars(package).values() if isinstance(value, type) and issubclass(value, Method)}
        assert {registry.entry(name).method for name in NAMES} == classes - {Method}
        assert set(registry.names()) == set(NAMES) | set(registry.names("grounding")) | set(registry.names("boxes3d"))

    def test_an_entry_says_what_it_is(self, name: str) -> None:
        entry = registry.entry(name)
        assert entry.name == name
        assert entry.title
        assert 1 <= entry.chapter <= 12
        dataclasses.replace(TrainConfig(epochs=1), **entry.recipe)  # raises where a setting is unknown or out of range
        assert entry.trained == (name in TRAINED)
        assert set(entry.method.needs) <= set(batch_of()), "fields that the examples here lack: add them to batch_of"

    def test_names_are_ordered_and_a_wrong_one_has_a_hint(self) -> None:
        chapters = [registry.entry(name).chapter for name in NAMES]
        assert chapters == sorted(chapters)
        with pytest.raises(ValueError, match=r"no method 'Grad-CAM'.*did you mean 'gradcam'"):
            registry.entry("Grad-CAM")

    def test_a_name_belongs_to_one_method(self) -> None:
        with pytest.raises(ValueError, match="'cam' belongs to CAM"):
            registry.register("cam", title="Other", chapter=1)(type("Other", (Method,), {}))

    def test_settings_of_another_method_are_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="got settings of type dict"):
            built(name, settings={"loss": "softmax"})
        with pytest.raises(ValueError, match="got settings of type dict"):
            registry.explain(name, built("cam"), {"loss": "softmax"})

    def test_settings_differ_from_the_books_by_the_changes(self, name: str) -> None:
        entry = registry.entry(name)
        if entry.settings is None:
            assert entry.configured() is None
            with pytest.raises(ValueError, match="has no settings, and got normalisation: leave them out"):
                entry.configured(normalisation="max")
            return
        assert entry.configured() == entry.settings()
        for field in dataclasses.fields(entry.settings):
            same = getattr(entry.settings(), field.name)
            assert entry.configured(**{field.name: same}) == entry.settings()
        with pytest.raises(TypeError, match="nonsense"):
            entry.configured(nonsense=1)

    def test_a_method_that_learns_nothing_explains_a_classifier(self, name: str) -> None:
        classifier, batch = built("cam"), batch_of()
        if name in TRAINED:
            with pytest.raises(ValueError, match="is trained itself and explains no other classifier"):
                registry.explain(name, classifier)
            return
        method = registry.explain(name, classifier)
        before = method.localize(batch["images"], batch["labels"])
        with torch.no_grad():
            for parameter in classifier.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        assert not torch.equal(method.localize(batch["images"], batch["labels"]), before), "shared, not copied"
        if (logits := method.predict(batch["images"]).logits) is not None:
            torch.testing.assert_close(logits, classifier.eval()(batch["images"]))


@pytest.mark.parametrize(("n", "classes", "height", "width"), SIZES)
class TestSayingWhere:
    def test_shapes_and_ranges(self, name: str, n: int, classes: int, height: int, width: int) -> None:
        method, batch = built(name, classes), batch_of(n, classes, height, width)
        raw, logits = method.predict(batch["images"])
        assert raw.shape[:2] in {(n, classes), (n, 1)}
        assert 1 < raw.shape[2] <= height
        assert 1 < raw.shape[3] <= width
        assert logits is None or logits.shape == (n, classes)
        assert logits is not None or name not in TRAINED, "a trained method says what is there"
        every, some = method.localize(batch["images"]), method.localize(batch["images"], batch["labels"])
        assert every.shape == raw.shape
        assert some.shape == (n, classes, *raw.shape[2:])
        assert in_range(every)
        assert in_range(some)
        torch.testing.assert_close(some, every * batch["labels"][:, :, None, None], rtol=0, atol=0)
        assert in_range(maps.resize(some.to(memory_format=torch.channels_last), (height, width)))
        if name in TRAINED:
            assert all(term.ndim == 0 and term.isfinite() for term in losses_of(method.train(), batch).values())

    def test_no_class_is_present(self, name: str, n: int, classes: int, height: int, width: int) -> None:
        method, batch = built(name, classes), batch_of(n, classes, height, width)
        assert not method.localize(batch["images"], torch.zeros(n, classes)).any()
        if name not in TRAINED:
            return
        terms = losses_of(method, batch | {"labels": torch.zeros(n, classes)})
        torch.stack(list(terms.values())).sum().backward()
        assert all(term.isfinite() for term in terms.values())
        assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


class TestPredict:
    def test_the_parts_are_those_of_one_prediction(self, name: str) -> None:
        method, batch = built(name).eval(), batch_of()
        raw, logits = method.predict(batch["images"])
        torch.testing.assert_close(method.raw_maps(batch["images"]), raw, rtol=0, atol=0)
        together = method.infer(batch["images"], batch["labels"])
        torch.testing.assert_close(together.maps, method.localize(batch["images"], batch["labels"]), rtol=0, atol=0)
        if logits is None:
            assert together.logits is None
            with pytest.raises(ValueError, match="classifies nothing"):
                method(batch["images"])
        else:
            torch.testing.assert_close(method(batch["images"]), logits)
            torch.testing.assert_close(together.logits, logits)

    def test_one_forward_pass(self, name: str) -> None:
        method, batch = built(name), batch_of()
        runs: Counter[str] = Counter()

        def count(module: nn.Module, inputs: Any, output: Any) -> None:
            runs["first layer"] += 1

        first = next(m for m in method.modules() if isinstance(m, nn.Conv2d))
        first.register_forward_hook(count)
        for call in (method.predict, method.localize, method.infer, method.raw_maps):
            runs.clear()
            call(batch["images"])  # type: ignore[operator]
            assert runs["first layer"] == 1, call

    def test_nothing_is_left_changed(self, name: str) -> None:
        method, batch = built(name).train(), batch_of()
        list(method.modules())[-1].eval()  # a mixed mode, such as frozen batch norm has
        before, state = modes(method), {k: v.clone() for k, v in method.state_dict().items()}
        method.infer(batch["images"], batch["labels"])
        assert modes(method) == before
        assert all(torch.equal(v, state[k]) for k, v in method.state_dict().items())
        assert all(p.grad is None and p.requires_grad for p in method.parameters())
        with pytest.raises(ValueError, match="multi-hot"):
            method.localize(batch["images"], torch.ones(2, 5))
        assert modes(method) == before

    def test_images_do_not_influence_one_another(self, name: str) -> None:
        method, batch = built(name), batch_of()
        together = method.infer(batch["images"], batch["labels"])
        for i in range(3):
            single = method.infer(batch["images"][i : i + 1], batch["labels"][i : i + 1])
            torch.testing.assert_close(single.maps[0], together.maps[i], rtol=1e-3, atol=1e-4)
            if together.logits is not None and single.logits is not None:
                torch.testing.assert_close(single.logits[0], together.logits[i], rtol=1e-4, atol=1e-5)

    def test_memory_format_does_not_matter(self, name: str) -> None:
        method, batch = built(name), batch_of(height=45, width=61)
        expected = method.localize(batch["images"])
        method = method.to(memory_format=torch.channels_last)
        channels_last = method.localize(batch["images"].to(memory_format=torch.channels_last))
        assert in_range(channels_last)
        torch.testing.assert_close(channels_last, expected, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, name: str, dtype: torch.dtype) -> None:
        method, batch = built(name).to(dtype), batch_of()
        assert in_range(method.localize(batch["images"].to(dtype), batch["labels"]))
        method = built(name)
        with torch.autocast("cpu", dtype):
            assert in_range(method.localize(batch["images"], batch["labels"]))
            if name in TRAINED:
                terms = losses_of(method, batch)
        if name in TRAINED:
            exact = losses_of(method, batch)
            for key, value in terms.items():
                torch.testing.assert_close(value.float(), exact[key], rtol=0.05, atol=0.05)

    def test_labels_must_fit(self, name: str) -> None:
        method, batch = built(name), batch_of()
        with pytest.raises(ValueError, match=r"labels have shape \(3,\), expected multi-hot"):
            method.localize(batch["images"], torch.tensor([0, 1, 2]))
        if method.predict(batch["images"]).logits is not None:
            with pytest.raises(ValueError, match=r"expected multi-hot \(3, 5\)"):
                method.localize(batch["images"], torch.ones(3, 4))

    def test_a_state_comes_back(self, name: str, tmp_path: Path) -> None:
        method, other, batch = built(name, seed=0), built(name, seed=1), batch_of()
        with torch.no_grad():
            for buffer in method.buffers():  # such as running statistics
                if buffer.is_floating_point():
                    buffer.add_(0.1)
        expected = method.localize(batch["images"])
        assert not torch.equal(other.localize(batch["images"]), expected)
        save_file({k: v.contiguous() for k, v in method.state_dict().items()}, tmp_path / "state.safetensors")
        other.load_state_dict(load_file(tmp_path / "state.safetensors"))
        for buffer, source in zip(other.buffers(), method.buffers(), strict=True):
            buffer.copy_(source)  # those that are no part of the state: the normalisation of images
        assert torch.equal(other.localize(batch["images"]), expected)


@pytest.mark.parametrize("name", TRAINED)
class TestLosses:
    def test_named_scalars_that_reach_every_group(self, name: str) -> None:
        for number, phase in enumerate(built(name).phases()):
            method, batch = built(name).train(), batch_of()
            enter(method, number)
            terms = losses_of(method, batch)
            assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
            torch.stack(list(terms.values())).sum().backward()
            groups = {group["name"]: group["params"] for group in method.parameter_groups(0.1)}
            for group in groups if phase.trains is None else set(groups) & set(phase.trains):
                assert any(p.grad is not None and p.grad.any() for p in groups[group]), (phase.name, group)

    def test_gradients_are_right(self, name: str) -> None:
        # Directional derivatives by differences, in the direction of the gradient: what stop-gradients hold fixed, and
        # what is not smooth, is each method's own test. Here: a step downhill lowers the sum of the losses.
        method, batch = built(name).double().eval(), batch_of()
        batch["images"] = batch["images"].double()
        before = torch.stack(list(losses_of(method, batch).values())).sum()
        before.backward()
        slope = sum(float(p.grad.square().sum()) for p in method.parameters() if p.grad is not None)
        with torch.no_grad():
            for parameter in method.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=1e-4 / slope**0.5)
        after = torch.stack(list(losses_of(method, batch).values())).sum()
        assert (before - after).item() > 0

    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float64])
    def test_labels_of_any_type(self, name: str, dtype: torch.dtype) -> None:
        method, batch = built(name).eval(), batch_of()
        expected = losses_of(method, batch)
        terms = losses_of(method, batch | {"labels": batch["labels"].to(dtype)})
        assert {k: v.item() for k, v in terms.items()} == {k: v.item() for k, v in expected.items()}
        with pytest.raises(ValueError, match="multi-hot"):
            method.losses(batch | {"labels": torch.tensor([0, 1, 2])})  # type: ignore[operator]

    def test_parameter_groups_hold_each_trainable_parameter_once(self, name: str) -> None:
        method = built(name)
        for frozen in (False, True):
            method.backbone.requires_grad_(not frozen)
            groups = method.parameter_groups(0.01)
            held = [p for group in groups for p in group["params"]]
            assert len(held) == len(set(held))
            assert set(held) == {p for p in method.parameters() if p.requires_grad}
            assert all(group["params"] and group["name"] for group in groups)
            assert "lr" not in next(group for group in groups if group["name"] == "head"), "the loop's head_lr decides"
            assert ("backbone" in {group["name"] for group in groups}) != frozen

    def test_phases_fit_the_groups(self, name: str) -> None:
        method = built(name)
        phases, groups = method.phases(), {group["name"] for group in method.parameter_groups(0.01)}
        assert sum(phase.share for phase in phases) == pytest.approx(1)
        assert all(set(phase.trains or ()) <= groups for phase in phases)
        assert groups <= set(method.group_names())

    def test_the_losses_read_what_they_say(self, name: str) -> None:
        method, batch = built(name), batch_of()
        losses_of(method, {field: batch[field] for field in method.needs})
        for field in method.needs:
            with pytest.raises(KeyError, match=field):
                losses_of(method, {other: batch[other] for other in batch if other != field})


GPU = torch.device("cuda")


def on_gpu(method: Method) -> Method:
    """The method with all tensors on a GPU of which, in ``FakeTensorMode``, only shapes and devices are known."""
    for module in method.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[key] = nn.Parameter(torch.empty(parameter.shape, dtype=parameter.dtype, device=GPU))
        for key, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[key] = torch.empty(buffer.shape, dtype=buffer.dtype, device=GPU)
    return method


def run_on_gpu(method: Method, trained: bool) -> None:
    """Predict, localise and lose on a GPU that is not there: mixed devices raise, and so does asking for a value."""
    with FakeTensorMode():
        method, images, labels = on_gpu(method), torch.rand(3, 3, 45, 61, device=GPU), torch.zeros(3, 5, device=GPU)
        for result in (method.predict(images), method.infer(images, labels)):
            assert result.maps.device.type == "cuda"
            assert result.logits is None or result.logits.device.type == "cuda"
        if trained:
            planes = {key: torch.zeros(3, 45, 61, dtype=torch.int64, device=GPU) for key in ("masks", "superpixels")}
            for number in range(len(method.phases())):
                enter(method, number)
                terms = losses_of(method.train(), {"images": images, "labels": labels} | planes)
                assert {term.device.type for term in terms.values()} == {"cuda"}


@pytest.mark.parametrize("name", [name for name in TRAINED if registry.entry(name).backbone == "tiny_cnn"])
def test_features_of_a_trunk_stand_for_images_or_are_refused(name: str) -> None:
    method, batch = built(name), batch_of()
    method.get_submodule("backbone").freeze("stage2")  # type: ignore[operator]
    with torch.no_grad():
        features = method.backbone(batch["images"], ["stage2"])["stage2"]  # (3, 6, 12, 12)
    if method.reads_pixels or method.companions:  # with companions they do, see tests/train/test_features.py
        with pytest.raises(ValueError, match="looks at pixels, and the batch has features of 6 channels"):
            losses_of(method, batch | {"images": features})
        return
    expected = losses_of(method.eval(), batch)
    torch.testing.assert_close(losses_of(method, batch | {"images": features}), expected)
    torch.testing.assert_close(method.localize(features), method.localize(batch["images"]))


class TestDevices:
    """Without a GPU: no tensor strays to the CPU, and nothing waits for a value."""

    def test_on_a_gpu(self, name: str) -> None:
        if registry.entry(name).method.waits:  # and it does, or it should not say so
            with pytest.raises(DataDependentOutputException):
                run_on_gpu(built(name), False)
        else:
            run_on_gpu(built(name), name in TRAINED)

    @pytest.mark.parametrize("name", [name for name in WITH_SETTINGS if not registry.entry(name).method.waits])
    def test_every_choice_on_a_gpu(self, name: str) -> None:
        kind = registry.entry(name).settings
        assert kind is not None
        for field, hint in get_type_hints(kind).items():
            choices = get_args(hint) if get_origin(hint) is Literal else (True, False) if hint is bool else ()
            for choice in choices:
                run_on_gpu(built(name, settings=kind(**{field: choice})), name in TRAINED)

    def test_nothing_is_made_on_another_device(self, name: str) -> None:
        # Also of methods that wait, which a pretended GPU cannot run: what does not follow the images lands elsewhere.
        method, batch = built(name), batch_of(height=45, width=61)
        expected = method.infer(batch["images"], batch["labels"])
        with torch.device("meta"):
            result = method.infer(batch["images"], batch["labels"])
        assert torch.equal(result.maps, expected.maps)

    def test_the_pretence_notices_strays_and_waits(self) -> None:
        class Strays(Toy):
            def predict(self, images: Tensor) -> Prediction:
                return Prediction(images + torch.ones(images.shape[-1]), None)

        class Waits(Toy):
            def predict(self, images: Tensor) -> Prediction:
                return Prediction(images, None) if bool((images > 0).all()) else Prediction(-images, None)

        with pytest.raises(RuntimeError, match="on the same device"):
            run_on_gpu(Strays(), False)
        with torch.device("meta"), pytest.raises(RuntimeError, match="device meta is not on the expected device cpu"):
            Strays().infer(torch.rand(1, 3, 4, 4, device="cpu"))
        with pytest.raises(DataDependentOutputException):
            run_on_gpu(Waits(), False)


class Toy(Method):
    """The smallest method: the mean colour's three numbers are the classes."""

    def __init__(self, classes: int | None = 3) -> None:
        super().__init__(num_classes=classes)
        self.scale = nn.Linear(3, 3)

    def predict(self, images: Tensor) -> Prediction:
        return Prediction(images - 0.5, images.mean((2, 3)))


class TestMistakes:
    @pytest.mark.parametrize("classes", [0, -1, 2.5, "3"])
    def test_class_counts(self, name: str, classes: Any) -> None:
        if registry.build(name, small_backbone(name), 3).predict(torch.rand(1, 3, 48, 48)).logits is None:
            pytest.skip("knows no classes")
        with pytest.raises(ValueError, match=rf"num_classes is {classes}, expected at least 1"):
            registry.build(name, small_backbone(name), classes)

    @pytest.mark.parametrize("name", TRAINED)
    def test_another_network_than_a_backbone(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"got ResNet, expected a backbone.*GradCAM or EigenCAM"):
            registry.build(name, resnet18(), 3)  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", WITH_SETTINGS)
    def test_settings_are_frozen_checked_and_pickled(self, name: str) -> None:
        kind = registry.entry(name).settings
        assert kind is not None
        assert issubclass(kind, Settings)
        settings = kind()
        assert pickle.loads(pickle.dumps(settings)) == settings
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings.normalisation = "max"
        for field, hint in get_type_hints(kind).items():
            if get_origin(hint) is Literal:
                with pytest.raises(ValueError, match=f"{field} is 'nonsense', expected one of"):
                    kind(**{field: "nonsense"})
            if hint is float:
                for wrong in (float("nan"), float("inf")):
                    with pytest.raises(ValueError, match=field):
                        kind(**{field: wrong})

    def test_a_phase(self) -> None:
        for wrong in ({"share": 0.0}, {"share": 1.5}, {"share": 0.5, "lr": 0.0}, {"share": float("nan")}):
            with pytest.raises(ValueError, match="phase 'first' has share"):
                Phase("first", **wrong)
        plain = {"trains": None, "maximises": False, "lr": 1.0}  # every group, down the gradient, at the run's rate
        assert dataclasses.asdict(Phase("first", 0.5)) == {"name": "first", "share": 0.5, **plain}
        assert Toy().phases() == (Phase("training", 1.0),)

    def test_a_method_without_predict(self) -> None:
        with pytest.raises(NotImplementedError, match="Empty has no predict"):
            type("Empty", (Method,), {})().localize(torch.rand(1, 3, 8, 8))


class TestBase:
    def test_max_cuts_below_zero_and_minmax_stretches(self) -> None:
        toy, images = Toy(), torch.tensor([[[0.25, 0.5], [0.75, 1.0]]]).repeat(1, 3, 1, 1)
        assert toy.localize(images)[0, 0].flatten().tolist() == [0.0, 0.0, 0.5, 1.0]
        toy.normalisation = "minmax"
        torch.testing.assert_close(toy.localize(images)[0, 0].flatten(), torch.tensor([0, 1 / 3, 2 / 3, 1]))

    def test_raw_maps_of_any_size_are_scaled_exactly(self) -> None:
        raw = torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]]])
        assert Toy().normalised(raw * 1e-9).flatten().tolist() == pytest.approx([0.0, 0.25, 0.5, 1.0])

    def test_a_map_that_knows_no_class_is_copied_for_the_present_ones(self) -> None:
        raw = torch.rand(2, 1, 4, 4)
        labels = torch.tensor([[1, 0, 1], [0, 0, 0]])
        copies = Toy().normalised(raw, labels)
        assert torch.equal(copies[0, 0], copies[0, 2])
        assert torch.equal(copies[0, :1], Toy().normalised(raw)[0])
        assert not copies[0, 1].any()
        assert not copies[1].any()
        assert Toy(None).normalised(raw, torch.ones(2, 7)).shape == (2, 7, 4, 4)

    def test_one_class_is_not_taken_for_no_class(self) -> None:
        with pytest.raises(ValueError, match=r"expected multi-hot \(2, 1\)"):
            Toy(1).normalised(torch.rand(2, 1, 4, 4), torch.ones(2, 3))

    def test_without_a_backbone_all_parameters_are_the_head(self) -> None:
        (group,) = Toy().parameter_groups(0.1)
        assert group["name"] == "head"
        assert len(group["params"]) == 2

    def test_any_positive_label_counts(self) -> None:
        present = check_labels(torch.tensor([[1.0, 0.0, 0.3]]), torch.zeros(1, 3, 8, 8), 3)
        assert present.tolist() == [[True, False, True]]


@pytest.mark.parametrize("name", ["cam", "bas", "seam", "sat", "ssc"])
def test_a_plain_network_is_no_backbone_and_one_sentence_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="got Linear, expected a backbone with named stages"):
        registry.entry(name).method(nn.Linear(1, 1))


def test_labels_of_another_number_of_classes_say_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"they are of 2 classes and the method of 5, so build it with"):
        check_labels(torch.ones(3, 2), torch.zeros(3, 3, 8, 8), 5)
