"""One dialler at work: who is there, what is due, which calls are under way."""
