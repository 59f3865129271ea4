"""Options and types that several commands use."""

import click

#: Ids of the portal and the store.
NUMBER = click.IntRange(0, 2**53)


as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")
