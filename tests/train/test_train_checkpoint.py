"""What is on disk, and what is made of it when it is damaged."""

import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from train_kit import Noisy, Plain, Toys, identical, weights

from wsss_lib.backbones import backbone
from wsss_lib.methods import CAM
from wsss_lib.methods.description import rebuild
from wsss_lib.train import TrainConfig, checkpoint, fit, restore
from wsss_lib.train.machine import Machine


def write(root: Path, step: int, method: nn.Module, keep: int = 3) -> None:
    folder = checkpoint.begin(root, step)
    checkpoint.put_tensors(folder, "model", method.state_dict())
    checkpoint.put_state(folder, {"step": step})
    checkpoint.commit(root, step, keep)


def test_a_checkpoint_comes_back_and_old_ones_go(tmp_path: Path) -> None:
    method, other = Plain(), Plain()
    root = checkpoint.root_of(tmp_path)
    for step in (0, 10, 20, 100):
        write(root, step, method, keep=2)
    assert checkpoint.steps(root) == [100, 20]
    assert sorted(path.name for path in root.iterdir()) == ["step_00000020", "step_00000100"]
    result = checkpoint.newest(root)
    assert result is not None
    assert (result.step, result.json("state")) == (100, {"format": checkpoint.FORMAT, "step": 100})
    with torch.no_grad():
        other.head.bias += 1
    assert restore(other, tmp_path) == 100
    assert identical(weights(other), weights(method))


def test_a_checkpoint_says_how_its_method_is_built(tmp_path: Path) -> None:
    method = CAM(backbone("tiny_cnn", widths=(4, 4, 8, 8)), 3)
    fit(method, Toys(4), TrainConfig(steps=1, batch_size=4, device="cpu"), out_dir=tmp_path, progress="none")
    newest = checkpoint.newest(checkpoint.root_of(tmp_path))
    assert newest is not None
    described = newest.state()["method"]
    assert (described["classes"], described["image_size"]) == (["red", "green", "blue"], [8, 8])
    again = rebuild(described)
    assert restore(again, tmp_path) == 1
    assert identical(weights(again), weights(method))


def test_what_a_killed_run_left_half_written_goes_when_the_run_is_called_again(tmp_path: Path) -> None:
    def train() -> None:
        torch.manual_seed(0)
        fit(Plain(), Toys(4), TrainConfig(epochs=1, batch_size=2, device="cpu"), out_dir=tmp_path, progress="none")

    train()
    root = checkpoint.root_of(tmp_path)
    whole = sorted(root.iterdir())
    for left in (checkpoint.temporary(root, 1), root / ".old_00000000"):
        left.mkdir()
        (left / "model.safetensors").write_bytes(b"half")
    train()  # is done already, and writes nothing
    assert sorted(root.iterdir()) == whole


def test_checkpoints_go_where_a_killed_run_had_begun_to_remove_one(tmp_path: Path) -> None:
    root = checkpoint.root_of(tmp_path)
    write(root, 3, Plain())
    (root / ".old_step_00000003").mkdir()
    (root / ".old_step_00000003" / "model.safetensors").write_bytes(b"half")
    checkpoint.clear(root)
    assert list(root.iterdir()) == []


def test_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    write(tmp_path, 5, Plain())
    result = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "step_00000005", capture_output=True)
    assert result.returncode == 0, result.stdout


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES = [
    (flip_a_bit, "model.safetensors"),
    (cut, "model.safetensors"),
    (Path.unlink, "model.safetensors"),
    (flip_a_bit, "state.json"),
    (cut, "state.json"),
    (cut, "SHA256SUMS"),
    (flip_a_bit, "SHA256SUMS"),
    (Path.unlink, "SHA256SUMS"),
    (lambda path: path.write_text(""), "SHA256SUMS"),
    (lambda path: path.write_bytes(b"\xff\xfe\x00"), "SHA256SUMS"),
]


@pytest.mark.parametrize(("damage", "name"), DAMAGES)
def test_a_damaged_one_is_passed_over_aloud(tmp_path: Path, damage, name: str) -> None:
    write(tmp_path, 1, Plain())
    write(tmp_path, 2, Plain())
    damage(tmp_path / "step_00000002" / name)
    with pytest.warns(UserWarning, match=r"step_00000002 is damaged \(.+\): falling back"):
        result = checkpoint.newest(tmp_path)
    assert result is not None
    assert result.step == 1
    write(tmp_path, 2, Plain())  # the run comes by again, and replaces it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoint.newest(tmp_path) == checkpoint.Checkpoint(tmp_path / "step_00000002", 2)


def test_damaged_ones_with_higher_numbers_push_no_good_one_out(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        write(tmp_path, step, Plain(), keep=4)
    for step in (30, 40):
        cut(tmp_path / f"step_{step:08d}" / "model.safetensors")
    write(tmp_path, 21, Plain(), keep=2)
    intact = [step for step in checkpoint.steps(tmp_path) if checkpoint.fault(tmp_path / f"step_{step:08d}") is None]
    assert intact == [21, 20]
    write(tmp_path, 22, Plain(), keep=1)
    intact = [step for step in checkpoint.steps(tmp_path) if checkpoint.fault(tmp_path / f"step_{step:08d}") is None]
    assert intact == [22]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"format": 99}, r"has format 99, and this version of wsss_lib reads and writes format 2.*resume=False"),
        ({"step": 1}, r"has format 1, and"),
        ({"format": checkpoint.FORMAT, "step": 1, "run": {}}, "lacks circumstances, loss_scale, history, so no run"),
    ],
)
def test_a_state_of_another_version_is_named(tmp_path: Path, state: dict, words: str) -> None:
    root = checkpoint.root_of(tmp_path)
    folder = checkpoint.begin(root, 1)
    checkpoint.put_tensors(folder, "model", Plain().state_dict())
    checkpoint.put_json(folder, "state", state)
    checkpoint.commit(root, 1, 2)
    with pytest.raises(ValueError, match=words):
        fit(Plain(), Toys(4), TrainConfig(epochs=1, batch_size=4), out_dir=tmp_path)
    fit(Plain(), Toys(4), TrainConfig(epochs=1, batch_size=4), out_dir=tmp_path, resume=False)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    write(checkpoint.root_of(tmp_path), 1, Plain())
    more = Plain()
    more.head = nn.Linear(5, 4)
    with pytest.raises(ValueError, match=r"head\.weight has shape \(3, 5\) in .*, expected \(4, 5\).* as many classes"):
        restore(more, tmp_path)
    with pytest.raises(ValueError, match=r"lacks norm\.weight, norm\.bias, norm\.running_mean and 2 more, so"):
        restore(Noisy(), tmp_path)
    write(checkpoint.root_of(tmp_path / "noisy"), 1, Noisy())
    with pytest.raises(ValueError, match=r"holds norm\.bias, norm\.num_batches_tracked, .* and 2 more besides"):
        restore(Plain(), tmp_path / "noisy")


def test_weights_in_any_order_of_memory(tmp_path: Path) -> None:
    method, other = Plain().to(memory_format=torch.channels_last), Plain()
    with torch.no_grad():
        method.head.weight.set_(torch.rand(5, 3).T)
        for parameter in other.parameters():
            parameter.zero_()
    assert not method.head.weight.is_contiguous()
    write(checkpoint.root_of(tmp_path), 1, method)
    restore(other, tmp_path)
    assert identical(weights(other), weights(method))


def test_only_damaged_ones(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "absent") is None
    write(checkpoint.root_of(tmp_path), 1, Plain())
    cut(checkpoint.root_of(tmp_path) / "step_00000001" / "state.json")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(FileNotFoundError, match="no intact checkpoint"):
        restore(Plain(), tmp_path)


def test_leftovers_of_the_killed_are_not_read_and_are_removed(tmp_path: Path) -> None:
    write(tmp_path, 1, Plain())
    shutil.copytree(tmp_path / "step_00000001", tmp_path / ".writing_00000009")
    shutil.copytree(tmp_path / "step_00000001", tmp_path / ".old_step_00000000")
    assert checkpoint.steps(tmp_path) == [1]
    write(tmp_path, 2, Plain())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000001", "step_00000002"]


DISK = ("fsync", "rename", "mkdir", "unlink", "rmdir")


class Killed(BaseException):
    """Nothing in the library catches it: as good as SIGKILL, and quicker."""


def disk_calls(monkeypatch: pytest.MonkeyPatch, note: Callable[[str, tuple], None]) -> None:
    """Call ``note`` before and after everything that a checkpoint does to the disk."""

    def watched(name: str, call: Callable) -> Callable:
        def watching(*args: object, **options: object) -> object:
            note(f"before {name}", args)
            result = call(*args, **options)
            note(f"after {name}", args)
            return result

        return watching

    for name in DISK:
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    monkeypatch.setattr(checkpoint, "save_file", watched("save_file", checkpoint.save_file))


def test_killed_at_any_moment_of_writing_the_newest_is_intact(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    for step in (1, 2):
        write(ready, step, Plain(), keep=2)
    result, moment, finished = [], 0, False
    while not finished:
        moment += 1
        root = tmp_path / f"killed_{moment}"
        shutil.copytree(ready, root)
        left = [moment]

        def burn(what: str, args: tuple, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            disk_calls(patch, burn)
            try:
                write(root, 3, Plain(), keep=2)
                finished = True
            except Killed:
                pass
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an intact one, and no damaged one before it
            newest = checkpoint.newest(root)
        assert newest is not None, moment
        for step in checkpoint.steps(root):  # nor do the older ones stay behind half removed
            assert checkpoint.fault(root / f"step_{step:08d}") is None
        result.append(newest.step)
        write(root, 3, Plain(), keep=2)  # the next process gets through
        assert sorted(path.name for path in root.iterdir()) == ["step_00000002", "step_00000003"]
    assert result == sorted(result), "once the new one is there it stays"
    assert set(result) == {2, 3}
    assert moment > 20


def test_everything_is_flushed_before_the_name_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Against power cuts rather than kills: a rename may reach the disk before the content of what it renames.
    flushed: set[int] = set()
    renamed: list[str] = []

    def note(what: str, args: tuple) -> None:
        if what == "after fsync":
            flushed.add(os.fstat(args[0]).st_ino)
        if what == "before rename":
            folder = Path(args[0])
            renamed.append(Path(args[1]).name)
            assert {path.stat().st_ino for path in (folder, *folder.iterdir())} <= flushed
        if what == "after rename":
            flushed.discard(tmp_path.stat().st_ino)

    disk_calls(monkeypatch, note)
    write(tmp_path, 4, Plain())
    assert renamed == ["step_00000004"]
    assert tmp_path.stat().st_ino in flushed, "the folder that holds the new name is flushed after the rename"


def test_tied_weights_and_refusals(tmp_path: Path) -> None:
    tied = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    tied[1].weight = tied[0].weight
    write(checkpoint.root_of(tmp_path), 1, tied)
    before = weights(tied)
    with torch.no_grad():
        tied[0].weight.zero_()
    restore(tied, tmp_path)
    assert identical(weights(tied), before)
    assert tied[1].weight is tied[0].weight
    with pytest.raises(TypeError, match="extra in the state of the method is a dict"):
        checkpoint.put_tensors(tmp_path, "model", {"extra": {"step": 3}})  # type: ignore[dict-item]
    with torch.no_grad():
        tied[0].bias[1] = torch.nan
    with pytest.raises(FloatingPointError, match=r"0\.bias is not finite after update 7"):
        checkpoint.finite(tied, 7)


def test_checkpoints_need_a_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ValueError, match="which is a file, expected a folder"):
        checkpoint.root_of(tmp_path / "run")


def test_processes_wait_before_the_folder_is_used_and_before_it_is_put_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def noted(owner: object, name: str, event: Callable[..., str]) -> None:
        before = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given: (events.append(event(*given)), before(*given))[1])

    noted(checkpoint, "put_json", lambda folder, name, content: name)
    noted(checkpoint, "commit", lambda *_: "commit")
    noted(Machine, "wait", lambda *_: "wait")
    config = TrainConfig(epochs=1, batch_size=2, device="cpu")
    fit(Plain(), Toys(2), config, out_dir=tmp_path, progress="none")
    first = events.index("state")
    assert events[first : first + 6] == ["state", "wait", "random_0", "wait", "commit", "wait"]
