"""A tiny stand-in for the Cloudmask training: fits one threshold to the data, better with each epoch."""

import sys
import time

from cc_notebook import progress

gpu, run, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
begun = time.perf_counter()
with open("cloudmask-data.csv") as file:
    data = [float(line) for line in file]
threshold = run / 10
for epoch in range(1, epochs + 1):
    threshold += (sum(data) / len(data) - threshold) * 0.05
    print(f"Epoch {epoch}/{epochs}", flush=True)
accuracy = 1 - abs(sum(data) / len(data) - threshold)
progress(99, accuracy=round(accuracy, 3), seconds=round(time.perf_counter() - begun, 3))
