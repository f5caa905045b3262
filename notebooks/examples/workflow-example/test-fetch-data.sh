#!/bin/sh
# Makes data.csv, 40 measurements of a temperature, and reports how far it is.
# A line that begins with "# cloudmesh" sets the progress of this job; all else that is printed is just its log.

echo "# cloudmesh status=running progress=1 pid=$$"

echo "hour,temperature" > data.csv
for part in 1 2 3 4; do
    sleep 0.4 # stands for a slow download
    awk -v part="$part" 'BEGIN {
        for (hour = 10 * (part - 1) + 1; hour <= 10 * part; hour++)
            printf "%d,%.2f\n", hour, 15 + 5 * sin(hour / 4)
    }' >> data.csv
    echo "part $part of 4 is here"
    echo "# cloudmesh status=running progress=$((part * 24)) pid=$$"
done

echo "# cloudmesh status=done progress=100 pid=$$"
