"""unit: pure, seconds. integration: sockets, SQLite, fake peers. system: a real Asterisk."""
