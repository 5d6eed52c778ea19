#!/bin/bash
# make test: lint, generated files, then pytest. Ends with pytest's closing line, also when an earlier step failed.
cd "$(dirname "$0")/.." || exit 1
bin=.venv/bin
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=
step() { echo "== $*"; "$@" || failed="$failed; $1"; }
step $bin/ruff check .
step $bin/mypy
step $bin/python syscall_tables/generate.py --check
echo "== pytest"
$bin/python -m pytest -n "${1:-2}" -rs 2>&1 | tee "$log"
[ "${PIPESTATUS[0]}" = 0 ] || failed="$failed; pytest"
if [ -n "$failed" ]; then echo "failed:${failed#;}"; fi
grep -E '^=+ .*(passed|failed|error).* =+$' "$log" | tail -1
[ -z "$failed" ]
