"""The project's own files: licences, citation, versions, line ends, links that lead somewhere, modules' lengths."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

import wsss_lib

ROOT = Path(__file__).resolve().parents[1]
PAPERS = sorted([*ROOT.glob("*.md"), *(ROOT / "book").glob("*.md")])
FENCE = re.compile(r"^(```+).*?^\1\s*$", re.M | re.S)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def citation() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_code_is_under_the_bsd_licence_that_the_metadata_name() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("BSD 3-Clause License")
    assert all(f"\n{number}. " in text for number in (1, 2, 3))
    assert "AS IS" in text
    assert project()["license"] == citation()["license"] == "BSD-3-Clause"


def test_text_is_under_cc_by() -> None:
    text = (ROOT / "LICENSE-text.md").read_text(encoding="utf-8")
    assert "Creative Commons Attribution 4.0 International" in text
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in text


def test_the_citation_is_complete_and_keeps_the_address_to_pyproject() -> None:
    cite = citation()
    assert cite["cff-version"] == "1.2.0"
    assert all(cite[key] for key in ("message", "title", "authors", "type"))
    assert all("name" in author or "family-names" in author for author in cite["authors"])
    assert not {"url", "repository", "repository-code", "repository-artifact"} & set(cite)


def test_one_version_everywhere() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert newest is not None
    assert {citation()["version"], newest[1], wsss_lib.__version__} == {project()["version"]}


def test_the_repository_address_stands_in_one_place() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git clone: which files belong to the project is unknown")
    address = project()["urls"]["Repository"].removeprefix("https://").encode()
    holders = [
        name for name in listed.stdout.splitlines() if (p := ROOT / name).is_file() and address in p.read_bytes()
    ]
    assert holders == ["pyproject.toml"]


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.name)
def test_links_lead_to_files_that_are_there(paper: Path) -> None:
    text = FENCE.sub("", paper.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    labels = {
        label for page in (ROOT / "book").glob("*.md") for label in re.findall(r"(?m)^\(([\w-]+)\)=", page.read_text())
    }
    inside = [t for t in targets if not re.match(r"[a-z]+:|#", t) and t not in labels]
    broken = [t for t in inside if not exists(paper.parent / unquote(t.partition("#")[0]))]
    assert not broken, f"{paper.name} links to {broken}"


def exists(path: Path) -> bool:
    return path.exists() or any(path.with_name(path.name + suffix).is_file() for suffix in (".md", ".ipynb"))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_files_that_are_named_are_there(name: str) -> None:
    spans = re.findall(r"`([\w.-]+(?:/[\w.-]*)+)`", (ROOT / name).read_text(encoding="utf-8"))
    assert spans, "no file is named: the pattern of this test has gone stale"
    made = ("_build", ".venv", ".tools")  # by `make`, not in a clone
    absent = [s for s in spans if not s.startswith(made) and not re.search(r"N", s) and not (ROOT / s).exists()]
    assert not absent, f"{name} names {absent}"


def test_commands_of_the_readme_are_understood() -> None:
    from wsss_lib.cli import _parser

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^wsss ([^#\n]+)", readme, re.M)
    assert len(commands) >= 8
    for command in commands:
        _parser().parse_args(command.split())  # exits on what it does not understand
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"^make (\w+)", readme, re.M)) <= targets


def test_the_code_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    code = "\n".join(blocks)
    # Smaller: random weights instead of a download, eight images instead of 2,000.
    for written, small in (
        ('"resnet50", ', '"resnet18", None, '),
        ('split="train")', 'split="train").subset(range(8))'),
        ("epochs=8", "epochs=1"),
    ):
        assert code.count(written) == 1, f"the README no longer says {written}"
        code = code.replace(written, small)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 48), "grey").save("cat.jpg")
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "tensor([[[" in capsys.readouterr().out  # a class and its box
    assert tuple(names["where"].shape) == (1, 1, 48, 64)
    assert len(names["history"].loss) >= 1
    assert (tmp_path / "runs" / "cam").is_dir()


def test_every_work_has_what_a_reader_needs_to_find_it() -> None:
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@(\w+)\{(\w+),\n(.*?)^\}", text, re.M | re.S)
    assert len(entries) == text.count("\n@") >= 40
    keys = [key for _, key, _ in entries]
    assert len(set(keys)) == len(keys)
    needed = {"inproceedings": "booktitle", "article": "journal", "book": "publisher", "techreport": "institution"}
    for kind, key, body in entries:
        fields = dict(re.findall(r"^  (\w+)\s*= \{(.+?)\},?$", body, re.M | re.S))
        assert {"author", "title", "year", needed[kind]} <= set(fields), key
        assert fields["year"] in key or key.endswith(fields["year"]), key


def test_every_term_that_a_page_uses_is_in_the_glossary() -> None:
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    body = glossary.partition("```{glossary}\n")[2].partition("\n```")[0]
    terms = [line for line in body.splitlines() if line and not line.startswith(" ")]
    assert terms == list(dict.fromkeys(terms)), "a term stands twice"
    groups = re.split(r"\n\n", body)
    heads = [group.splitlines()[0].casefold() for group in groups]
    assert heads == sorted(heads), "the terms are not in the order of the alphabet"
    pages = [*(ROOT / "book").glob("*.md"), *(ROOT / "book" / "chapters").glob("*.ipynb")]
    role = re.compile(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`")
    used = {term for page in pages for term in role.findall(page.read_text(encoding="utf-8"))}
    unknown = {t for t in used if t.casefold() not in {term.casefold() for term in terms}}
    assert not unknown


@pytest.mark.parametrize("page", sorted((ROOT / "book").rglob("*.md")), ids=lambda path: path.name)
def test_every_citation_is_in_the_bibliography(page: Path) -> None:
    known = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.M))
    cited = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page.read_text(encoding="utf-8"))
    assert {key.strip() for group in cited for key in group.split(",")} <= known


def test_no_module_is_too_long_to_be_read() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("wsss_lib", "press")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > 300} == {}, "split them"


def test_a_clone_that_asks_for_windows_line_ends_keeps_its_own(tmp_path: Path) -> None:
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("not a git clone")
    clone = tmp_path / "clone"
    command = ["git", "clone", "-q", "--shared", "-c", "core.autocrlf=true", str(ROOT), str(clone)]
    subprocess.run(command, check=True, capture_output=True)
    listed = subprocess.run(["git", "ls-files", "--eol"], cwd=clone, capture_output=True, text=True, check=True).stdout
    assert len(listed.splitlines()) > 300
    assert [line for line in listed.splitlines() if "w/crlf" in line or "w/mixed" in line] == []


def test_a_module_and_what_its_room_offers_have_different_names() -> None:
    for module in pkgutil.walk_packages(wsss_lib.__path__, "wsss_lib."):
        room, _, name = module.name.rpartition(".")
        if name == "__main__":
            continue
        imported = importlib.import_module(module.name)
        assert getattr(importlib.import_module(room), name) is imported, f"{module.name} is also something else"
