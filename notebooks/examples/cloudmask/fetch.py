"""Makes the small data set that the training reads."""

import random

random.seed(2022)
with open("cloudmask-data.csv", "w") as file:
    file.writelines(f"{random.random():.6f}\n" for _ in range(1000))
