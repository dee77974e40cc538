"""What the command line prints, for the page about it: each command is run when the page is built.

python docs/transcripts.py FOLDER
"""

import os
import subprocess
import sys
from pathlib import Path

SHOWN_SERVICE = "org.example.counter"
SERVICE = f"{SHOWN_SERVICE}.{os.getpid()}"  # two builds at once must not meet
TOKEN = "0x5eed"
DEADLINE_S = 120.0

# The name of each transcript, and what is typed.
COMMANDS = {
    "help": "--help",
    "demo": "demo",
    "run-help": "run --help",
    "serve-help": "serve --help",
    "look-up-help": "look-up --help",
    "doctor": "doctor",
    "ledger": "ledger",
}

CLIENT = f"""\
import child_port as cp

with cp.bootstrap.look_up("{SERVICE}") as server, cp.task_self() as task:
    cp.check_in(server, {TOKEN}, task, timeout=30)
"""


def shown(text: str) -> str:
    """Without what belongs to this build alone."""
    text = text.replace(sys.executable, "python").replace(SERVICE, SHOWN_SERVICE)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def environment() -> dict[str, str]:
    return os.environ | {"COLUMNS": "88", "NO_COLOR": "1"}


def command(arguments: str) -> list[str]:
    return [sys.executable, "-m", "child_port", *arguments.split()]


def run(arguments: str) -> str:
    result = subprocess.run(
        command(arguments),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        stdin=subprocess.DEVNULL,
    )
    if result.returncode != 0:
        raise RuntimeError(f"{arguments}: {result.stdout}{result.stderr}")
    return f"$ python -m child_port {arguments}\n{result.stdout}"


def serve() -> dict[str, str]:
    """A service, somebody who looks it up, and somebody who checks in."""
    arguments = f"serve {SERVICE} --token {TOKEN} --count 1"
    with subprocess.Popen(
        command(f"{arguments} --timeout {DEADLINE_S}"),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        head = "".join(server.stdout.readline() for _ in range(3))  # it serves now
        looked_up = run(f"look-up {SERVICE}")
        subprocess.run([sys.executable, "-c", CLIENT], check=True, timeout=DEADLINE_S)
        printed = head + server.stdout.read()
    if server.returncode != 0:
        raise RuntimeError(f"{arguments}: {printed}")
    return {"serve": f"$ python -m child_port {arguments}\n{printed}", "look-up": looked_up}


def transcripts() -> dict[str, str]:
    found = {name: run(arguments) for name, arguments in COMMANDS.items()} | serve()
    return {name: shown(text) for name, text in found.items()}


def write_all(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in transcripts().items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
