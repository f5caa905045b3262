"""Count how many measurements lie above the mean; the mean and the number of rows are handed in as arguments."""

import csv
import sys
import time

from cc_notebook import progress

mean, rows = float(sys.argv[1]), int(sys.argv[2])
progress(progress=1)

warm = 0
with open("data.csv", newline="") as file:
    for number, row in enumerate(csv.DictReader(file), start=1):
        warm += float(row["temperature"]) > mean
        if number % 10 == 0:
            progress(progress=90 * number / rows)
            time.sleep(0.4)  # stands for real work

print(f"{warm} of {rows} hours were warmer than the mean of {mean} degrees")
progress(progress=100, warm=warm, share=warm / rows)
