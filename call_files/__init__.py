"""Call files and Asterisk's spool. Knows Asterisk; knows nothing of portals or databases."""

from call_files.call_file import CallFile, CallFileError
from call_files.spool import Spool, SpoolError

__all__ = ["CallFile", "CallFileError", "Spool", "SpoolError"]
