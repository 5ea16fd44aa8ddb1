"""The program as a whole: its global options, its commands, and how each end becomes an exit code.

Whatever a command raises passes through one place, so no command prints an error or ends the process itself.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from s3dlio import oplog, verbs
from s3dlio._version import __version__
from s3dlio.cli import bench, copying, ending, listing, objects, removing, trees
from s3dlio.logging_ import init_logging


class _Program(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command; what it raises becomes a line and an exit code."""
        _print_anything()
        try:
            result = super().invoke(ctx)
            oplog.finalize_op_log()  # here a log that could not be written can still be told
            sys.stdout.flush()  # and a closed pipe can still be told from a bug
        except KeyboardInterrupt as problem:
            ending.report(problem, traceback=False)
            ctx.exit(ending.INTERRUPTED)
        except BrokenPipeError:
            ending.drop_output()
            ctx.exit(ending.CLOSED_PIPE)
        except ending.REPORTED as problem:
            ending.report(problem, traceback=ctx.params["verbose"] > 1)
            ctx.exit(ending.code_of(problem))
        return result


def _print_anything() -> None:
    """Have what a stream's encoding cannot hold escaped, instead of raised."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.option("--endpoint-url", metavar="URL", help="The S3 service to talk to.")
@click.option("--region", metavar="NAME", help="Its region.")
@click.option("--profile", metavar="NAME", help="The profile of the AWS configuration to use.")
@click.option("--op-log", metavar="FILE", help="Write a line for each operation; .zst compresses.")
@click.option("-v", "--verbose", count=True, help="Log to standard error; -vv logs more, and shows tracebacks.")
@click.version_option(__version__, message="%(prog)s %(version)s")
def program(
    endpoint_url: str | None, region: str | None, profile: str | None, op_log: str | None, verbose: int
) -> None:
    """Read, write, list, copy and remove objects on s3://, file:// and direct://.

    Exit codes: 0 done, 1 storage failed, 2 wrong usage, 3 not found, 4 access denied or no credentials,
    5 some of many failed, 130 interrupted, 141 the reader of the output went away.
    """
    given = {"endpoint_url": endpoint_url, "region": region, "profile": profile}
    if any(given.values()):
        verbs.configure(**{name: value for name, value in given.items() if value})
    if verbose:
        init_logging("info" if verbose == 1 else "debug")
    if op_log is not None:
        oplog.init_op_log(op_log)


for command in (
    listing.ls,
    listing.stat,
    objects.cat,
    objects.get,
    objects.put,
    copying.cp,
    trees.upload,
    trees.download,
    removing.rm,
    removing.mb,
    removing.rb,
    bench.bench,
):
    program.add_command(command)
