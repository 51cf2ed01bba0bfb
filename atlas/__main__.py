"""`python -m atlas` runs the command."""

from atlas.cli.main import main

main(prog_name="atlas")
