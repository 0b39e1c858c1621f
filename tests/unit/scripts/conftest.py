import sys
from pathlib import Path

# The scripts are started by their path, where their modules lie beside them.
sys.path.insert(0, str(Path(__file__).parents[3] / "scripts"))
