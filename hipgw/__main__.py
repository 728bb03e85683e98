"""`python -m hipgw`: the same as the `hipgw` command."""

from hipgw.cli.main import main

if __name__ == "__main__":
    main()
