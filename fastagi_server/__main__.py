"""``python -m fastagi_server agi://127.0.0.1:4573/ping``: exit 0 if healthy, 1 if not."""

import sys

from fastagi_server.health import NotWell, check


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m fastagi_server agi://HOST[:PORT]/SCRIPT")
    try:
        took = check(sys.argv[1])
    except NotWell as error:
        sys.exit(str(error))
    print(f"{sys.argv[1]}: well, {1000 * took:.1f} ms")


if __name__ == "__main__":
    main()
