# Makes numbers.txt: the numbers 1 to $1, one a line. A job runs in the folder of its workflow file.
seq "$1" > numbers.txt

# A line like this tells the progress, and hands values on: report and compute find {fetch.rows}.
echo "# cloudmesh progress=90 rows=$(wc -l < numbers.txt | tr -d ' ')"
