"""A right that the child inherits, where no service name may be registered."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import child_port as cp
import pytest
from child_port import _child_port as ext
from child_port._registered import registered
from support import (
    DEADLINE,
    INVITATION_HEAD,
    TOKEN,
    descriptors,
    python,
    right_of,
    running,
)
from transport_support import (
    NOTHING,
    all_slots_in_use,
    fork_passes_on,
    fork_takes_away,
    refuse_names,
    registered_names,
)

if TYPE_CHECKING:
    from conftest import StartChild

CHECK_IN = "cp.check_in_to_parent(cp.task_self(), timeout=DEADLINE)\n"
WAIT = "time.sleep(60)\n"


@pytest.fixture
def no_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_names(tmp_path, monkeypatch)


@pytest.fixture
def user_of_registered_ports() -> Iterator[list[cp.SendRight]]:
    with all_slots_in_use() as rights:
        yield rights


# --- registered ports -----------------------------------------------------------------------------


def test_a_registered_port_is_replaced_alone(
    user_of_registered_ports: list[cp.SendRight],
) -> None:
    first, second = (right.name for right in user_of_registered_ports)
    with cp.ReceiveRight() as port, port.make_send() as right:
        was = ext.registered_replace(1, right)
        assert was is not None and was.name == first
        assert registered_names() == [right.name, second]
        now = ext.registered_replace(1, was)
        assert now is not None and now.name == right.name
        was.close()
        now.close()
    assert registered_names() == [first, second]


def test_a_registered_port_that_died_is_none() -> None:
    port = cp.ReceiveRight()
    with port.make_send() as right:
        assert ext.registered_replace(2, right) is None
    port.close()
    assert registered_names() == NOTHING
    assert ext.registered_replace(2, None) is None


def test_wrong_arguments_are_refused_and_register_nothing() -> None:
    with cp.ReceiveRight() as port, port.make_send() as right:
        for slot in (-1, 3):
            with pytest.raises(ValueError, match="slot"):
                ext.registered_replace(slot, right)
        with pytest.raises(TypeError, match="right"):
            ext.registered_replace(0, port)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="integer"):
            ext.registered_replace("0", right)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="2 arguments"):
            ext.registered_replace(0)  # type: ignore[call-arg]
        closed = right.copy()
        closed.close()
        with pytest.raises(ValueError, match="closed"):
            ext.registered_replace(0, closed)
    assert registered_names() == NOTHING


def test_nothing_registered_needs_no_descriptor() -> None:
    before = descriptors()
    assert ext.registered_descriptors() == ()
    with cp.ReceiveRight() as port, port.make_send() as right:
        assert ext.registered_replace(1, right) is None
        assert set(ext.registered_descriptors()) <= descriptors().keys() - before.keys()
        was = ext.registered_replace(1, None)
        assert was is not None
        was.close()
    assert ext.registered_descriptors() == ()
    assert descriptors() == before


# --- Popen ----------------------------------------------------------------------------------------


def test_a_child_checks_in_by_the_right_that_it_inherits(start: StartChild) -> None:
    child = start(CHECK_IN + CHECK_IN + WAIT, transport="inherited")
    assert child.transport == "inherited"
    assert child.server.service_name is None
    for _ in range(2):
        with child.accept(DEADLINE) as check_in:
            right = right_of(check_in)
            assert isinstance(right, cp.SendRight)
            assert cp.pid_for_task(right) == check_in.sender.pid == child.pid


def test_where_names_may_be_registered_they_are(start: StartChild) -> None:
    child = start(CHECK_IN + WAIT)
    assert child.transport == "bootstrap"
    child.accept(DEADLINE).__exit__()


def test_where_names_are_refused_the_right_is_inherited(
    no_registration: None, start: StartChild
) -> None:
    child = start(CHECK_IN + WAIT)
    assert child.transport == "inherited"
    with child.accept(DEADLINE) as check_in:
        assert check_in.sender.pid == child.pid


def test_who_insists_on_a_name_is_told_how_to_grant_it(no_registration: None) -> None:
    with pytest.raises(cp.NotPrivileged, match="allow mach-register") as caught:
        cp.Popen(python(""), transport="bootstrap")
    assert "org.child-port.handshake." in str(caught.value)
    assert 'transport="inherited"' in str(caught.value)
    assert caught.value.code == 1100
    assert caught.value.symbol == "BOOTSTRAP_NOT_PRIVILEGED"


def test_a_child_that_may_not_look_names_up_is_told_how_to_grant_it(
    start: StartChild, tmp_path: Path
) -> None:
    if sys.platform != "linux":
        pytest.skip("the sandbox is made of a directory that mach_linux refuses")
    (tmp_path / "mach-bootstrap").mkdir(mode=0o755)
    program = (
        f"try: {CHECK_IN}except cp.NotPrivileged as error:\n"
        "    assert 'allow mach-lookup' in str(error), error\n"
        "    assert 'inherited' in str(error), error\n"
        "    sys.exit(5)\n"
    )
    child = start(program, env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert child.wait(DEADLINE) == 5


def test_rights_go_to_the_child_as_well_where_names_are_refused(
    no_registration: None, start: StartChild
) -> None:
    """The child has no name either: it hands its port over with its check-ins."""
    child = start(
        "for _ in range(2):\n"
        "    with cp.receive_from_parent(DEADLINE) as check_in:\n"
        "        assert check_in.sender.pid == os.getppid()\n"
        "        cp.check_in_to_parent(check_in.port, timeout=DEADLINE)\n"
    )
    with cp.ReceiveRight() as port, port.make_send() as right:
        for _ in range(2):
            child.send_right(right, timeout=DEADLINE)
            with child.accept(DEADLINE) as check_in:
                assert right_of(check_in).name == right.name
        assert child.wait(DEADLINE) == 0


def test_check_ins_that_wait_do_not_keep_a_child_from_receiving(start: StartChild) -> None:
    """Its port comes to the parent behind them, and they are kept."""
    child = start(
        "for _ in range(5): cp.check_in_to_parent(None, timeout=DEADLINE)\n"
        "cp.receive_from_parent(DEADLINE)\n",
        transport="inherited",
    )
    child.send_right(None, timeout=DEADLINE)
    for _ in range(5):
        child.accept(DEADLINE).__exit__()
    assert child.wait(DEADLINE) == 0


def test_a_right_for_a_child_that_died_stays_with_the_parent(start: StartChild) -> None:
    child = start(
        "cp.receive_from_parent(timeout=0)", transport="inherited", stderr=subprocess.DEVNULL
    )
    child.wait(DEADLINE)
    with cp.ReceiveRight() as port:
        with pytest.raises(cp.PeerGone, match="takes no more"):
            child.send_right(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
        port.make_send().close()


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(ValueError, match="transport"):
        cp.Popen(python(""), transport="pigeon")  # type: ignore[call-overload]


def test_what_was_registered_is_registered_afterwards(
    user_of_registered_ports: list[cp.SendRight], start: StartChild
) -> None:
    """Also when all slots are in use; then the last one is lent."""
    before = registered_names()
    child = start(CHECK_IN + WAIT, transport="inherited")
    assert registered_names() == before
    with child.accept(DEADLINE) as check_in:
        assert check_in.sender.pid == child.pid


def test_slot_0_is_never_used(start: StartChild) -> None:
    """On macOS libxpc would take what is in it for its way to launchd, and talk to it."""
    program = (
        "from child_port import _child_port as ext\n"
        "found = [right is not None for right in ext.registered_lookup()]\n"
        "sys.exit(5 if found[1:] == [True, False] else 1)\n"
    )
    assert start(program, transport="inherited").wait(DEADLINE) == 5
    name = b"org.child-port.inherited.0"
    with cp.Handshake() as handshake:
        os.write(handshake.server_write_fd, INVITATION_HEAD.pack(TOKEN, len(name)) + name)
        before = ext.registered_lookup()[0]
        with pytest.raises(cp.UnknownService):
            cp.Handshake.run_client_for_fd(os.dup(handshake.client_read_fd), None, timeout=DEADLINE)
        after = ext.registered_lookup()[0]
    assert (before and before.name) == (after and after.name)
    for right in (before, after):
        if right is not None:
            right.close()


def test_a_slot_that_is_in_use_is_left_alone_if_another_is_free(start: StartChild) -> None:
    with cp.ReceiveRight() as port, port.make_send() as right:
        assert ext.registered_replace(1, right) is None
        child = start(
            CHECK_IN + "from child_port import _child_port as ext\n"
            "_, kept, free = ext.registered_lookup()\n"
            "assert free is None\n"
            "cp.check_in_to_parent(kept, timeout=DEADLINE)\n",
            transport="inherited",
        )
        child.accept(DEADLINE).__exit__()
        with child.accept(DEADLINE) as check_in:
            assert right_of(check_in).name == right.name
        assert child.wait(DEADLINE) == 0
        was = ext.registered_replace(1, None)
        assert was is not None and was.name == right.name
        was.close()


def test_a_command_that_does_not_exist_leaves_nothing_registered() -> None:
    with pytest.raises(FileNotFoundError):
        cp.Popen(["/no/such/program"], transport="inherited")
    assert registered_names() == NOTHING


def test_what_was_registered_is_put_back_without_a_descriptor_left() -> None:
    program = """
import resource
from child_port import _child_port as ext
from child_port._registered import SLOTS, registered

def names():
    found = ext.registered_lookup()
    return [found[slot] and found[slot].name for slot in SLOTS]

def use_up(kept):
    while True:
        kept.append(os.dup(0))

os.devnull = "/no/such/file"  # as in a sandbox without a /dev
ports = [cp.ReceiveRight() for _ in SLOTS]
rights = [port.make_send() for port in ports]
ours = cp.ReceiveRight().make_send()
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
for registered_before in ([None, None], rights):
    for slot, right in zip(SLOTS, registered_before):
        ext.registered_replace(slot, right)
    before, kept = names(), []
    try:
        with registered(ours):
            use_up(kept)
    except OSError as error:
        assert error.filename is None and error.errno == 24, error
    for fd in kept:
        os.close(fd)
    assert names() == before, (names(), before)
print("done")
"""
    result = subprocess.run(python(program), capture_output=True, text=True, timeout=DEADLINE)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


def test_children_that_are_started_at_once_each_have_their_own_parent_port() -> None:
    def one() -> None:
        with cp.Popen(python(CHECK_IN), transport="inherited") as child:
            with child.accept(DEADLINE) as check_in:
                assert check_in.sender.pid == child.pid
            assert child.wait(DEADLINE) == 0

    with running(one), running(one), running(one), running(one):
        pass
    assert registered_names() == NOTHING


def test_what_the_child_starts_does_not_inherit_the_right(start: StartChild) -> None:
    """Over exec, which closes nothing but what is marked."""
    inside = (
        "from child_port import _child_port as ext\n"
        "sys.exit(5 if ext.registered_lookup()[1:] == (None, None) else 1)\n"
    )
    child = start(
        f"{CHECK_IN}os.execv(sys.executable, {python(inside)!r})\n", transport="inherited"
    )
    child.accept(DEADLINE).__exit__()
    assert child.wait(DEADLINE) == 5


@fork_passes_on
def test_a_wrapper_in_between_passes_the_right_on(start: StartChild) -> None:
    command = ["/bin/sh", "-c", '"$0" -c "$1"; true', sys.executable, python(CHECK_IN)[-1]]
    child = start(command, transport="inherited", pinned=False)
    with child.accept(DEADLINE) as check_in:
        assert check_in.sender.pid != child.pid


def test_a_wrapper_that_uses_posix_spawn_passes_the_right_on(start: StartChild) -> None:
    wrapper = f"pid = os.posix_spawn(sys.executable, {python(CHECK_IN)!r}, os.environ)\n"
    child = start(wrapper + "os.waitpid(pid, 0)\n", transport="inherited", pinned=False)
    with child.accept(DEADLINE) as check_in:
        assert check_in.sender.pid != child.pid


@fork_takes_away
@pytest.mark.parametrize("who", ["a wrapper", "the child"])
def test_a_fork_in_between_takes_the_right_away_which_the_child_is_told(
    start: StartChild, who: str
) -> None:
    program = (
        f"try: {CHECK_IN}except cp.HandshakeError as error:\n"
        "    assert 'registered port 1' in str(error) and 'a fork' in str(error), error\n"
        "    sys.exit(5)\n"
    )
    forks = "pid = os.fork()\nif pid == 0:\n    {}\nstatus = os.waitpid(pid, 0)[1]\n"
    if who == "a wrapper":
        program = forks.format(f"os.execv(sys.executable, {python(program)!r})")
        program += "sys.exit(os.waitstatus_to_exitcode(status))\n"
    else:
        program = forks.format("os._exit(0)") + program
    assert start(program, transport="inherited", pinned=False).wait(DEADLINE) == 5


@fork_takes_away
@pytest.mark.parametrize(
    "option",
    [
        {"preexec_fn": print},
        {"cwd": "/"},
        {"start_new_session": True},
        {"process_group": 0},
        {"user": os.getuid()},
        {"group": os.getgid()},
        {"extra_groups": []},
        {"umask": 0},
    ],
    ids=lambda option: str(*option),
)
def test_what_only_a_fork_can_do_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"posix_spawn.* no {next(iter(option))}"):
        cp.Popen(python(""), transport="inherited", **option)
    assert registered_names() == NOTHING


@fork_passes_on
def test_where_a_fork_passes_rights_on_nothing_is_refused(
    start: StartChild, tmp_path: Path
) -> None:
    program = f"assert os.getcwd() == {str(tmp_path)!r}\n{CHECK_IN}{WAIT}"
    child = start(program, transport="inherited", cwd=tmp_path, start_new_session=True)
    child.accept(DEADLINE).__exit__()


def test_a_right_that_was_not_passed_on_is_missed_by_name(start: StartChild) -> None:
    program = (
        "from child_port import _child_port as ext\n"
        "ext.registered_replace(1, None)\n"
        f"try: {CHECK_IN}except cp.HandshakeError as error:\n"
        "    assert 'registered port 1' in str(error), error\n"
        "    sys.exit(5)\n"
    )
    assert start(program, transport="inherited").wait(DEADLINE) == 5


def test_a_stranger_that_inherited_the_right_has_not_the_token(start: StartChild) -> None:
    """Started while the right was registered, it can send, and that is all."""
    with cp.Server(token=TOKEN) as server, server.make_send() as right:
        with registered(right) as lent:
            stranger = (
                "from child_port import _child_port as ext\n"
                f"right = ext.registered_replace({lent.slot}, None)\n"
                "cp.check_in(right, 1, cp.task_self(), timeout=DEADLINE)\n"
            )
            subprocess.run(python(stranger), close_fds=False, check=True, timeout=DEADLINE)
        with pytest.raises(cp.TimedOut):
            server.accept(0)
        assert server.stats["bad_token"] == 1


def test_a_child_that_dies_first_is_known_at_once(start: StartChild) -> None:
    child = start("os._exit(7)", transport="inherited")
    with pytest.raises(cp.PeerGone, match="status 7"):
        child.accept(DEADLINE)


def test_a_child_sees_its_parent_go(start: StartChild) -> None:
    child = start(
        CHECK_IN + "sys.stdin.read()\ntry: cp.check_in_to_parent(None, timeout=DEADLINE)\n"
        "except cp.PeerGone: sys.exit(5)\n",
        stdin=subprocess.PIPE,
        transport="inherited",
    )
    child.accept(DEADLINE).__exit__()
    child.close()
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(DEADLINE) == 5


def test_a_fork_while_another_thread_spawns_is_not_stuck() -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with cp.ReceiveRight() as port, port.make_send() as right, registered(right):
            inside.set()
            leave.wait(DEADLINE)

    with running(hold):
        assert inside.wait(DEADLINE)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with cp.ReceiveRight() as port, port.make_send() as right, registered(right):
                    status = 0
            finally:
                os._exit(status)
        leave.set()
    assert os.waitpid(pid, 0)[1] == 0
