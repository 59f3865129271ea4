"""``python -m autodial``."""

from autodial.cli import main

main(prog_name="autodial")
