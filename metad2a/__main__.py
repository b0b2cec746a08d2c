"""``python -m metad2a`` is ``metad2a``."""

from metad2a.cli.main import main

if __name__ == "__main__":
    main()
