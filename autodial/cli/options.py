"""What several commands take."""

import click

#: What the portal and the store number with.
NUMBER = click.IntRange(0, 2**53)


as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")
