"""Runs the program: in this process, as the console script that is installed, or on a terminal of its own."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from click.testing import CliRunner

from s3dlio.cli.app import program

SCRIPT = str(Path(sysconfig.get_path("scripts")) / "s3dlio")
PATIENCE = 60  # seconds


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended, and what it printed."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.out.decode().splitlines()


def here(*arguments: str | Path, stdin: bytes | str = b"") -> Done:
    """Run the program in this process."""
    result = CliRunner().invoke(program, [str(each) for each in arguments], input=stdin, prog_name="s3dlio")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout_bytes, result.stderr)


def good(*arguments: str | Path, stdin: bytes | str = b"") -> list[str]:
    """Run the program in this process, which must succeed, and return the lines it printed."""
    done = here(*arguments, stdin=stdin)
    assert done.code == 0, done.err
    return done.lines


def script(*arguments: str | Path, stdin: bytes = b"", command: Sequence[str] = (SCRIPT,)) -> Done:
    """Run the console script in a process of its own."""
    line = [*command, *(str(each) for each in arguments)]
    done = subprocess.run(line, input=stdin, capture_output=True, check=False, timeout=PATIENCE)
    return Done(done.returncode, done.stdout, done.stderr.decode())


def on_a_terminal(*arguments: str | Path, answer: str = "", interrupt: bool = False) -> Done:
    """Run the console script with its input and its errors on a terminal.

    At a question `answer` is typed, or the program is interrupted.
    """
    ours, theirs = pty.openpty()
    line = [SCRIPT, *(str(each) for each in arguments)]
    child = subprocess.Popen(line, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True)
    os.close(theirs)
    with child:
        screen = _watch(ours, partial(_interrupt, child) if interrupt else partial(_type, ours, answer))
        assert child.stdout is not None
        out = child.stdout.read()
        code = child.wait(PATIENCE)
    os.close(ours)
    return Done(code, out, screen)


def _type(terminal: int, answer: str) -> None:
    os.write(terminal, f"{answer}\n".encode())


def _interrupt(child: subprocess.Popen[bytes]) -> None:
    """Interrupt a process once it sleeps: a signal that comes just before `input` reads does not end the read."""
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        pass
    child.send_signal(signal.SIGINT)


def _watch(terminal: int, react: Callable[[], None]) -> str:
    """Return all that appears on a terminal; a terminal whose last user has gone is an input/output error."""
    screen, asked = b"", False
    while True:
        try:
            screen += os.read(terminal, 65536)
        except OSError:
            return screen.decode()
        if not asked and screen.endswith(b"[y/N]: "):
            asked = True
            react()
