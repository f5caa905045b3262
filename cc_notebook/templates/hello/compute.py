"""The mean of the numbers that fetch made; how many there should be is the script's argument."""

import sys
from pathlib import Path

numbers = [int(line) for line in Path("numbers.txt").read_text().split()]
if len(numbers) != int(sys.argv[1]):
    sys.exit(f"{len(numbers)} numbers instead of {sys.argv[1]}")  # another exit code than 0: the job failed
print(f"# cloudmesh progress=90 mean={sum(numbers) / len(numbers)}")
