# Python's web server and curl: a page, a range that it ignores, many at a time, a missing one
mkdir -p www
echo hello > www/page
seq 20000 > www/numbers
python3 -u -m http.server --bind 127.0.0.1 --directory www 8077 > served 2> log & server=$!
get() { curl -s --retry 100 --retry-connrefused --retry-delay 0 --retry-max-time 30 "$@"; }
get http://127.0.0.1:8077/page
get http://127.0.0.1:8077/numbers | cksum
for i in 1 2 3 4 5 6 7 8; do get -o "got$i" http://127.0.0.1:8077/numbers & jobs="${jobs-} $!"; done
wait $jobs
cat got? | cksum
get -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8077/none
get -d x -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8077/page
kill $server; wait $server; echo "ended $?"
grep -c '" 200 ' log
curl -s http://127.0.0.1:8077/; echo "curl $?"
