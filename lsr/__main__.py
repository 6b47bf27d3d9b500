"""`python -m lsr` is `lsr`."""

from lsr.cli import main

if __name__ == "__main__":
    main()
