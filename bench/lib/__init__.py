"""Parts of bench/run."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
