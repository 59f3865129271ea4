"""The board: pages for people who steer and watch the dialler; a process of its own."""
