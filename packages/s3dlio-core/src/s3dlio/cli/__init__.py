"""The program `s3dlio`: the verbs, typed in a shell.

Standard output is data; everything else goes to standard error. Nothing outside this package needs click or rich.
"""

import sys


def main() -> None:
    """Run the program on the arguments of the process, and end the process with its exit code."""
    try:
        from s3dlio.cli.app import program

        program.main(prog_name="s3dlio")
    except KeyboardInterrupt:  # before or after a command: there is nothing to clean up
        sys.exit(130)
