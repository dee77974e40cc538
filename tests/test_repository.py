"""What must hold of the repository's own text."""

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHILD_PORT_DEFS_SHA256 = "0b0972c4e295ddf9f72ef35f02f05e292887d8a258eaae42c661ff981ee9910b"
GENERATED = re.compile(
    r"(\.so|\.o|\.a|\.pyc|\.egg-info/.*|/?child_port(User\.c|Server\.[ch])|/child_port\.h)$"
)
# Spelled so that this file does not find itself. TAP's directive of the same name is not meant.
UNFINISHED = re.compile(r"^(?!.*(%d|\d) - \S+ # T[O]DO ).*\b(T[O]DO|F[I]XME|X[X]X)\b")
MACHINE_PATH = re.compile(r"(?<![\w./$}>-])/(work|root|home)/\w")
TICKET = re.compile(r"\b[Ii]ssue #?\d")
CONFLICT = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)


def tracked() -> list[Path]:
    try:
        result = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in result.stdout.split("\0") if name]
    assert ROOT / "setup.py" in paths
    return [path for path in paths if path.is_file()]


def texts() -> dict[str, str]:
    found = {}
    for path in tracked():
        data = path.read_bytes()
        # What fuzzers found is bytes, whatever it looks like.
        if b"\0" not in data and ROOT / "tests" / "fuzz" / "corpus" not in path.parents:
            found[str(path.relative_to(ROOT))] = data.decode("utf-8")
    return found


def places(pattern: re.Pattern[str], files: dict[str, str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def markdown() -> dict[str, str]:
    return {name: text for name, text in texts().items() if name.endswith(".md")}


def makefile_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][\w-]*):", text, re.MULTILINE))


def test_the_interface_definition_is_the_one_that_was_recorded() -> None:
    data = (ROOT / "defs" / "child_port.defs").read_bytes()
    assert hashlib.sha256(data).hexdigest() == CHILD_PORT_DEFS_SHA256


@pytest.mark.parametrize(
    "pattern",
    [UNFINISHED, MACHINE_PATH, TICKET, CONFLICT],
    ids=["unfinished work", "paths of one machine", "ticket numbers", "merge conflicts"],
)
def test_no_file_has(pattern: re.Pattern[str]) -> None:
    assert places(pattern, texts()) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (UNFINISHED, "/* TO" + "DO: later */"),
        (MACHINE_PATH, "open('/ro" + "ot/x')"),
        (TICKET, "see iss" + "ue 12"),
        (CONFLICT, "<" * 7 + " mine"),
    ],
)
def test_the_lints_find_what_they_look_for(pattern: re.Pattern[str], text: str) -> None:
    assert places(pattern, {"sample": text}) != []


def test_nothing_generated_is_tracked() -> None:
    names = [str(path.relative_to(ROOT)) for path in tracked()]
    assert [name for name in names if GENERATED.search(name)] == []


def test_platforms_are_told_apart_only_by_file_in_the_extension() -> None:
    conditional = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif)\b.*__(APPLE|linux)__")
    files = {
        name: text
        for name, text in texts().items()
        if name.startswith("ext/")
        and name.endswith((".c", ".h"))
        and not name.endswith(("_darwin.c", "_linux.c"))
    }
    assert files
    assert places(conditional, files) == []


def test_the_sanitizers_run_over_the_c_code_under_the_suites() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert {"make test-asan", "make test-tsan"} <= set(steps)
    flags = dict(re.findall(r"^(ASAN|TSAN) := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE))
    assert "-fsanitize=address,undefined" in flags["ASAN"]
    assert "-fno-builtin" in flags["ASAN"]  # or gcc compares memory where no sanitizer sees it
    assert "-fno-sanitize-recover=undefined" in flags["ASAN"]
    assert "-fsanitize=thread" in flags["TSAN"]
    listed = dict(re.findall(r"^(TSAN_\w+) := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE))
    suites = set(re.findall(r"[a-z_]{3,}", listed["TSAN_SUITES"]))
    assert suites == {name for name in suites if (ROOT / "tests" / "mach" / f"{name}.c").exists()}
    tests = set(re.findall(r"test_\w+\.py", listed["TSAN_TESTS"]))
    assert tests == {name for name in tests if (ROOT / "tests" / name).exists()}
    assert {"threads", "notifications", "send_once"} <= suites and "test_concurrency.py" in tests
    # Among hostile peers both run, on the library as such.
    for name in ("ASAN", "TSAN"):
        assert re.search(rf"^\tCFLAGS='\$\({name}\)' .*\$\(UNIT_SUITES\)$", makefile, re.MULTILINE)
    # With the address sanitizer all tests run but for these, which are not about the C code.
    left_out = re.search(r"^ASAN_TESTS := \$\(filter-out (.*?),\$", makefile, re.M | re.S)
    assert left_out
    assert set(re.findall(r"test_\w+", left_out[1])) == {
        "test_readme",
        "test_repository",
        "test_install",
        "test_bench",
        "test_ext_build",
        "test_command_line_tools",
    }


def test_each_platform_file_has_its_other_half() -> None:
    subjects = {
        half: {path.name.removesuffix(f"_{half}.c") for path in (ROOT / "ext").glob(f"*_{half}.c")}
        for half in ("darwin", "linux")
    }
    assert subjects["darwin"]
    assert subjects["darwin"] == subjects["linux"]


def test_tokens_are_compared_in_one_step_that_takes_as_long_whatever_differs() -> None:
    text = (ROOT / "ext" / "stub_server.c").read_text(encoding="utf-8")
    found = re.search(r"^static bool token_is_valid\(.*?\n\{\n(.*?)^\}", text, re.S | re.M)
    assert found
    body = re.sub(r"\s+", " ", found[1]).strip()
    assert body == (
        "uint64_t difference = call->token ^ token; "
        "return difference == 0 || (call->keyed && difference >> 32 == UINT32_MAX);"
    )
    # Nor is a token compared anywhere else.
    others = {name: source for name, source in texts().items() if name.startswith("ext/")}
    others["ext/stub_server.c"] = text.replace(found[0], "")
    comparison = re.compile(
        r"\btoken\b\s*[!=]=|[!=]=\s*(\w+(->|\.))?token\b|mem(cmp|mem)\([^;]*token"
    )
    c_files = {name: source for name, source in others.items() if name.endswith((".c", ".h"))}
    assert places(comparison, c_files) == []


def test_python_appears_in_no_file_of_mach_linux() -> None:
    files = {
        name: text
        for name, text in texts().items()
        if name.startswith("ext/mach_linux/") and name.endswith((".c", ".h"))
    }
    assert files
    assert places(re.compile(r"Python\.h|\bPy_?[A-Z]\w+"), files) == []


def test_every_make_target_that_is_documented_exists() -> None:
    targets = makefile_targets()
    assert "test" in targets
    mentioned = {
        (name, target)
        for name, text in markdown().items()
        if "/" not in name or name.startswith("docs/")
        for target in re.findall(r"(?:`|\$ )make ([a-z][\w-]*)", text)
    }
    assert {target for _, target in mentioned} >= {"demo", "test", "bench"}
    assert [pair for pair in sorted(mentioned) if pair[1] not in targets] == []


def test_every_relative_link_leads_somewhere() -> None:
    broken = []
    for name, text in markdown().items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path = target.split("#")[0]
            if path and "://" not in target and not (ROOT / name).parent.joinpath(path).exists():
                broken.append(f"{name}: {target}")
    assert broken == []


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert headings[0] == version


def test_the_floor_of_python_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["requires-python"] == ">=3.11"
    assert project["tool"]["ruff"]["target-version"] == "py311"
    assert project["tool"]["mypy"]["python_version"] == "3.11"
    assert '"0x030b0000"' in (ROOT / "setup.py").read_text(encoding="utf-8")
    assert "(3, 11)" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "Python 3.11" in (ROOT / "README.md").read_text(encoding="utf-8")
