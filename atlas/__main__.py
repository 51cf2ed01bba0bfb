"""`python -m atlas` runs the command."""

from atlas.cli import main

main(prog_name="atlas")
