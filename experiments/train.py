"""Train, select, test once: ``python experiments/train.py --config FILE --data.store STORE --name NAME``."""

from graphnets.cli import main

if __name__ == "__main__":
    main()
