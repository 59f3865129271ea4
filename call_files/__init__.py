"""Call files and Asterisk's spool. Depends on Asterisk only, not on portals or databases."""

from call_files.call_file import CallFile, CallFileError
from call_files.spool import Spool, SpoolError

__all__ = ["CallFile", "CallFileError", "Spool", "SpoolError"]
