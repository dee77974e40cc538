"""The workflows: what actionlint and zizmor, which `make lint` runs, do not ask of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(path.name for path in FOLDER.glob("*.yml"))

USES = re.compile(r"^\s*(?:- )?uses: *(\S+)(?: # *(.*))?$", re.MULTILINE)
PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
MAKE = re.compile(r"\bmake (?:-\S+ |--\S+ )*([a-z][\w-]*)")
RUNNERS = {"macos-15", "macos-15-intel", "macos-26", "macos-26-intel"}


def text_of(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def jobs_of(name: str) -> dict[str, str]:
    """The text of each job, by its key."""
    _, _, jobs = text_of(name).partition("\njobs:\n")
    parts = re.split(r"^  ([a-z][\w-]*):\n", jobs, flags=re.MULTILINE)
    assert len(parts) >= 3 and not parts[0].strip()
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def steps_of(job: str) -> list[str]:
    _, _, steps = job.partition("\n    steps:\n")
    return re.split(r"^      - ", steps, flags=re.MULTILINE)[1:]


def project() -> dict[str, object]:
    loaded: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return loaded


def test_there_are_workflows_for_tests_wheels_and_releases() -> None:
    assert WORKFLOWS == ["release.yml", "test.yml", "wheels.yml"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_by_hash_and_say_their_version(name: str) -> None:
    used = USES.findall(text_of(name))
    assert used
    for action, version in used:
        if not action.startswith("$/"):
            assert PINNED.match(action), action
            assert re.fullmatch(r"v\d+\.\d+\.\d+", version), (action, version)


def test_an_action_has_one_version_in_all_workflows() -> None:
    seen: dict[str, set[str]] = {}
    for name in WORKFLOWS:
        for action, version in USES.findall(text_of(name)):
            owner_and_name, _, commit = action.partition("@")
            seen.setdefault(owner_and_name, set()).add(f"{commit} {version}")
    assert [action for action, versions in seen.items() if len(versions) != 1] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_targets_of_make_exist(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    called = set(MAKE.findall(text_of(name)))
    assert called and called <= targets


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nothing_is_permitted_but_what_a_job_asks_for(name: str) -> None:
    assert "\npermissions: {}\n" in text_of(name)
    for key, job in jobs_of(name).items():
        assert "\n    permissions:\n" in job, key
        assert "write-all" not in job


def test_only_the_jobs_of_a_release_can_write() -> None:
    writing = {
        (name, key, right)
        for name in WORKFLOWS
        for key, job in jobs_of(name).items()
        for right in re.findall(r"^      ([a-z-]+): write\b", job, re.MULTILINE)
    }
    assert writing == {
        ("release.yml", "attest", "id-token"),
        ("release.yml", "attest", "attestations"),
        ("release.yml", "publish", "id-token"),
        ("release.yml", "page", "contents"),
    }


def test_the_job_that_reaches_pypi_runs_no_code_of_the_repository() -> None:
    publish = jobs_of("release.yml")["publish"]
    assert "environment:\n      name: pypi\n" in publish
    assert "actions/checkout" not in publish and "run:" not in publish
    assert "password:" not in publish and "secrets." not in text_of("release.yml")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_jobs_end_and_keep_no_credentials(name: str) -> None:
    assert "\nconcurrency:\n" in text_of(name)
    for key, job in jobs_of(name).items():
        if "\n    steps:\n" in job:
            assert re.search(r"^    timeout-minutes: \d+$", job, re.MULTILINE), key
        for step in steps_of(job):
            if "actions/checkout@" in step:
                assert "persist-credentials: false" in step, key


def test_every_supported_python_is_tested_on_every_platform() -> None:
    classifiers = project()["classifiers"]
    assert isinstance(classifiers, list)
    supported = re.findall(r"Python :: (3\.\d+)\n", "\n".join([*classifiers, ""]))
    assert supported[0] == "3.11" and len(supported) >= 5
    free_threaded = ["3.14t", "3.15t"]  # as many as there are wheels for: tests/test_wheels.py
    jobs = jobs_of("test.yml")
    for key in ("linux", "macos"):
        (versions,) = re.findall(r"^        python: \[(.*)\]$", jobs[key], re.MULTILINE)
        tested = re.findall(r'"([^"]*)"', versions)
        assert sorted(tested) == sorted([*supported, *free_threaded])
    for key in ("macos", "mach"):
        (runners,) = re.findall(r"^        runner: \[(.*)\]$", jobs[key], re.MULTILINE)
        assert set(runners.split(", ")) == RUNNERS


def test_apples_machines_show_what_ziglangs_headers_and_recorded_facts_cannot() -> None:
    mach = jobs_of("test.yml")["mach"]
    assert "run: make sdk-parity " in mach
    (seen,) = (step for step in steps_of(mach) if "--seen yes" in step)
    (unseen,) = (step for step in steps_of(mach) if "--seen no" in step)
    assert "continue-on-error" not in seen and "continue-on-error: true" in unseen


def test_the_gate_installs_nothing_without_asking_for_root() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    calls = [line.strip() for line in script.splitlines() if "apt-get" in line]
    assert calls and all(line.startswith("$as_root apt-get ") for line in calls)


def test_lint_has_both_linters_of_workflows() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert "/actionlint " in recipe and "/zizmor " in recipe and "--offline" in recipe
