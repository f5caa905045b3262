#!/bin/sh
# Reads data.csv and reports the mean temperature. Beside its progress a job may report any key=value: its outputs.

echo "# cloudmesh status=running progress=1 pid=$$"

for step in 1 2 3; do
    sleep 0.5 # stands for a long computation
    echo "# cloudmesh status=running progress=$((step * 30)) pid=$$"
done
mean=$(awk -F, 'NR > 1 { sum += $2; rows++ } END { printf "%.2f", sum / rows }' data.csv)
echo "the mean temperature is $mean"

echo "# cloudmesh status=done progress=100 pid=$$ mean=$mean"
