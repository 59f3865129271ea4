"""Installing on a running PBX. Standard library only: it runs before anything is installed."""
