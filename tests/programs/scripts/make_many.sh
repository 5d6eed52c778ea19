# Makes 20,000 files in 400 directories, looks at them, and removes them.
set -e
mkdir many && cd many
seq -f '%03g' 0 399 | xargs mkdir
for d in *; do echo "$d"; done | wc -l
seq 0 399 | awk '{for (i = 0; i < 50; i++) printf "%03d/%02d\n", $1, i}' | xargs touch
find . -type f | wc -l
find . -name 25 -exec sh -c 'echo "$1" > "$1"' sh {} \;
find . -size +0 | sort | tail -n 1
ls 123 | wc -l
cd .. && rm -r many && ls | wc -l
