import sys
from pathlib import Path

# The scripts are started by their path, where their modules lie beside them.
SCRIPTS = Path(__file__).parents[3] / "scripts"
sys.path[:0] = [str(SCRIPTS), str(SCRIPTS / "benchmarks")]
