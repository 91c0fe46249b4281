"""`python -m longshore.cli`: the same as the command `longshore`, for a supervisor that starts children."""

from longshore.cli import main

if __name__ == "__main__":
    main()
