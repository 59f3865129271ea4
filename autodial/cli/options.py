"""Options, types and the configuration, as several commands use them."""

import os
import pwd
from pathlib import Path

import click

from autodial.cli import language
from autodial.config import load as loading
from autodial.config.settings import Config
from autodial.model.act import Actor, Door

#: Ids of the portal and the store.
NUMBER = click.IntRange(0, 2**53)


as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


def load(path: Path) -> Config:
    """The configuration of a command, whose language is spoken from then on."""
    config = loading.load(path)
    language.use(config.language)
    return config


def actor() -> Actor:
    """The user of the shell; under sudo, the one who called it."""
    name = os.environ.get("SUDO_USER")
    if name is None:
        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            name = str(os.getuid())
    return Actor(name[:80], Door.COMMAND)
