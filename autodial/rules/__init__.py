"""Pure policies: facts and the time come in, a decision goes out."""
