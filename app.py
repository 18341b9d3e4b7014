"""Where Lumen starts: `python app.py` and the `lumen` command are the same. Wires, decides nothing."""

from __future__ import annotations


def main() -> None:
    from lumen.cli import command_line

    command_line()


if __name__ == '__main__':
    main()
