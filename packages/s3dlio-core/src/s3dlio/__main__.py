"""`python -m s3dlio` is the program `s3dlio`."""

from s3dlio.cli import main

if __name__ == "__main__":
    main()
