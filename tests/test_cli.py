"""The command line: help, errors, colours, and the commands that show services."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import child_port as cp
import pytest
from child_port import _child_port
from child_port._cli import _checks
from support import DEADLINE, TOKEN

COMMAND = [sys.executable, "-m", "child_port"]
COMMANDS = ["demo", "run", "serve", "look-up", "doctor", "ledger"]


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def test_help_tells_what_each_command_does() -> None:
    result = command("--help", COLUMNS="200")
    assert (result.returncode, result.stderr) == (0, "")
    for name in COMMANDS:
        assert re.search(rf"^ +{name} +\w+ \w+ \w+", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_of_its_own(name: str) -> None:
    result = command(name, "--help", COLUMNS="100")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: python -m child_port {name}")
    assert len(result.stdout.splitlines()) > 5


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["demo", "--no-such-option"],
        ["serve"],
        ["serve", ""],
        ["serve", "x" * 128],
        ["serve", "name", "--count", "0"],
        ["serve", "name", "--count", "many"],
        ["serve", "name", "--token", str(2**64)],
        ["serve", "name", "--timeout", "-1"],
        ["look-up"],
        ["look-up", "x" * 128],
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str]) -> None:
    result = command(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    usage, error = (
        result.stderr[: result.stderr.rindex("\n", 0, -1)],
        result.stderr.splitlines()[-1],
    )
    assert usage.startswith("usage: python -m child_port")
    assert re.match(r"python -m child_port.*: error: \S", error)


class Serving:
    """`serve` in a process of its own."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "serve", name, "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started = self.event()

    def event(self) -> dict[str, object]:
        assert self.process.stdout is not None
        event = json.loads(self.process.stdout.readline())
        assert isinstance(event, dict)
        return event

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=DEADLINE)


def test_serve_shows_each_check_in_and_ends_after_as_many_as_told(service_name: str) -> None:
    with Serving(service_name, "--count", "2", "--token", hex(TOKEN)) as serving:
        assert serving.started == {"event": "serving", "service": service_name, "token": TOKEN}
        with cp.bootstrap.look_up(service_name) as service:
            cp.check_in(service, TOKEN - 1, None, timeout=DEADLINE)
            cp.check_in(service, TOKEN, cp.task_self(), timeout=DEADLINE)
            cp.check_in(service, TOKEN, None, timeout=DEADLINE)
        first, second, end = serving.event(), serving.event(), serving.event()
        assert first["event"] == "check-in" and first["sender"] == os.getpid()
        assert isinstance(first["port"], dict)
        assert (first["port"]["kind"], first["port"]["pid"]) == ("SendRight", os.getpid())
        assert second["port"] is None
        assert end == {"event": "end", "accepted": 2, "refused": 1}
        assert serving.process.wait(DEADLINE) == 0


def test_ctrl_c_ends_serve_with_success(service_name: str) -> None:
    with Serving(service_name) as serving:
        serving.process.send_signal(signal.SIGINT)
        assert serving.event() == {"event": "end", "accepted": 0, "refused": 0}
        assert serving.process.wait(DEADLINE) == 0
        assert serving.process.stderr is not None and serving.process.stderr.read() == ""


def test_ctrl_c_ends_the_demo_without_a_traceback() -> None:
    command = [sys.executable, "-u", "-m", "child_port", "demo"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, err) == (-signal.SIGINT, "")


def test_serve_ends_with_its_timeout_which_is_a_failure_if_some_are_missing(
    service_name: str,
) -> None:
    for arguments, status in (([], 0), (["--count", "1"], 1)):
        result = command("serve", service_name, "--timeout", "0.01", *arguments)
        assert result.returncode == status
        assert result.stdout.splitlines()[-1] == "0 accepted, 0 refused"


@pytest.mark.parametrize("more", ["", " $0'\"\\`"], ids=["plain", "shell"])
def test_the_client_that_serve_shows_checks_in(service_name: str, more: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, "serve", service_name + more, "--count", "1"], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(3)]
            assert subprocess.run(lines[2], shell=True, timeout=DEADLINE).returncode == 0
            shown = process.stdout.readline()
            assert re.match(
                r"process (\d+) checked in: SendRight 0x[0-9a-f]+, the task port of process \1$",
                shown,
            ) or re.match(r"process \d+ checked in: (SendRight|DeadName) 0x[0-9a-f]+$", shown)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()


def test_a_name_that_is_served_already_is_one_line(service_name: str) -> None:
    with cp.Server(service_name=service_name):
        result = command("serve", service_name, "--timeout", "0")
    assert (result.returncode, result.stdout) == (1, "")
    assert "BOOTSTRAP_SERVICE_ACTIVE" in result.stderr and len(result.stderr.splitlines()) == 1


def test_look_up_shows_the_right(service_name: str) -> None:
    with cp.Server(service_name=service_name):
        shown, told = command("look-up", service_name), command("look-up", service_name, "--json")
    assert re.match(rf"{service_name}: SendRight 0x[0-9a-f]+, of a process not known", shown.stdout)
    report = json.loads(told.stdout)
    assert (report["service"], report["kind"], report["pid"]) == (service_name, "SendRight", None)
    assert (shown.returncode, told.returncode) == (0, 0)


def test_look_up_of_what_nobody_serves_is_one_line(service_name: str) -> None:
    result = command("look-up", service_name)
    assert (result.returncode, result.stdout) == (1, "")
    assert "BOOTSTRAP_UNKNOWN_SERVICE" in result.stderr and len(result.stderr.splitlines()) == 1


def on_a_terminal(*arguments: str, **variables: str) -> str:
    """What the command writes where a terminal is."""
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    ours, theirs = os.openpty()
    try:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment | {"TERM": "xterm"} | variables,
        )
        os.close(theirs)
        said = b""
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # EIO: on Linux the end of what a terminal's other side wrote
                data = b""
            if not data:
                break
            said += data
        process.wait(DEADLINE)
        return said.decode()
    finally:
        os.close(ours)


def test_colours_only_on_a_terminal_that_wants_them(service_name: str) -> None:
    with cp.Server(service_name=service_name):
        arguments = ("look-up", service_name)
        assert "\x1b[" in on_a_terminal(*arguments)
        assert "\x1b[" not in on_a_terminal(*arguments, NO_COLOR="1")
        assert "\x1b[" not in on_a_terminal(*arguments, TERM="dumb")
        assert "\x1b[" not in command(*arguments).stdout


def test_a_reader_that_goes_away_is_no_traceback(service_name: str) -> None:
    with subprocess.Popen(
        [*COMMAND, "serve", service_name, "--timeout", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(DEADLINE) == 1


def test_doctor_finds_that_the_main_job_works() -> None:
    shown, told = command("doctor"), command("doctor", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.endswith("\na child can hand its task port to its parent here\n")
    report = json.loads(told.stdout)
    assert told.returncode == 0 and report["works"] is True
    assert report["about"]["stubs"] and sys.executable in report["about"]["python"]
    found = {check["what"].split(" (")[0]: check for check in report["checks"]}
    for name in ("descriptors", "service names", "rights that a child inherits"):
        assert found[name]["status"] == "ok", found[name]
    job = found["a child that hands its task port to its parent"]
    assert job["status"] in ("ok", "warning") and job["detail"]


@pytest.mark.skipif(sys.platform != "linux", reason="breaks the bootstrap of mach_linux")
def test_doctor_says_what_a_refused_name_means_and_that_the_job_works_without(
    tmp_path: Path,
) -> None:
    (tmp_path / "mach-bootstrap").mkdir(mode=0o755)  # where others can reach, which is refused
    result = command("doctor", "--json", XDG_RUNTIME_DIR=str(tmp_path))
    report = json.loads(result.stdout)
    found = {check["what"]: check for check in report["checks"]}
    assert found["service names (bootstrap)"]["status"] == "warning"
    assert "inherited" in found["service names (bootstrap)"]["advice"]
    assert result.returncode == 0 and report["works"] is True


def test_doctor_fails_and_says_why_if_a_child_cannot_check_in(tmp_path: Path) -> None:
    # A child whose Python ends before it does anything.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif '-c' in sys.orig_argv: raise SystemExit('no child today')\n"
    )
    shown = command("doctor", PYTHONPATH=str(tmp_path))
    assert shown.returncode == 1
    assert "no child today" in shown.stdout and re.search("^failed ", shown.stdout, re.MULTILINE)
    assert shown.stdout.endswith("a child cannot hand its task port to its parent here\n")


def test_doctor_warns_of_few_descriptors() -> None:
    program = (
        "import resource, sys; _, hard = resource.getrlimit(resource.RLIMIT_NOFILE);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard));"
        "from child_port._cli import main; sys.exit(main(['doctor', '--json']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, timeout=DEADLINE
    )
    found = json.loads(result.stdout)["checks"][0]
    expected = "warning" if cp.PLATFORM == "linux" else "ok"  # where each right takes some
    assert (found["status"], result.returncode) == (expected, 0)
    assert ("ulimit" in (found["advice"] or "")) is (expected == "warning")


@pytest.mark.parametrize(
    ("platform", "left", "status"),
    [("linux", 250, "warning"), ("darwin", 250, "ok"), ("darwin", 20, "warning")],
)
def test_how_few_descriptors_are_few_is_the_platforms(
    monkeypatch: pytest.MonkeyPatch, platform: str, left: int, status: str
) -> None:
    soft = len(os.listdir("/dev/fd")) + left
    monkeypatch.setattr(_child_port, "PLATFORM", platform)
    monkeypatch.setattr("resource.getrlimit", lambda _: (soft, soft))
    assert _checks._descriptors().status == status


def test_ledger_shows_names_and_their_owners() -> None:
    shown, told = command("ledger", COLUMNS="200"), command("ledger", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[2].split() == ["NAME", "REFERENCES", "OWNER", "MADE", "AT"]
    for kind in ("SendRight", "SendOnceRight", "ReceiveRight", "PortSet"):
        assert re.search(rf"^(0x[0-9a-f]+ .*)? +{kind} ", shown.stdout, re.MULTILINE), kind
    report = json.loads(told.stdout)
    assert told.returncode == 0
    assert {"receive": 1, "send": 2} in [entry["references"] for entry in report["names"]]
    assert {"PortSet"} in [{owner["kind"] for owner in e["owners"]} for e in report["names"]]
