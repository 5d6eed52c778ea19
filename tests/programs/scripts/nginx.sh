# nginx: two workers, a load, a reload, and an orderly end
set -u
mkdir -p www run
head -c 100000 /dev/zero | tr '\0' x > www/big
echo hello > www/index.html
cat > nginx.conf <<C
worker_processes 2;
pid $PWD/run/pid;
error_log $PWD/run/error;
daemon off;
events { worker_connections 64; }
http {
  keepalive_requests 1000000; access_log $PWD/run/access; sendfile on; tcp_nopush on;
  client_body_temp_path $PWD/run; proxy_temp_path $PWD/run; fastcgi_temp_path $PWD/run; uwsgi_temp_path $PWD/run; scgi_temp_path $PWD/run;
  server { listen 127.0.0.1:8099; root $PWD/www; location /up/ { proxy_pass http://127.0.0.1:8099/; } }
}
C
chmod -R a+rX .
nginx -e "$PWD/run/error" -p "$PWD" -c "$PWD/nginx.conf" & server=$!
get() { curl -s --retry 50 --retry-connrefused --retry-delay 0 --retry-max-time 30 "$@"; }
get http://127.0.0.1:8099/
get http://127.0.0.1:8099/up/index.html
get http://127.0.0.1:8099/big | cksum
get -r 10-19 http://127.0.0.1:8099/big; echo
get -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8099/none
ab -q -n 300 -c 8 -k http://127.0.0.1:8099/big > ab.out 2>&1; grep -E '^(Complete|Failed|Non-2xx|HTML)' ab.out || cat ab.out
pgrep -P $server | wc -l
wrk -t1 -c4 -d1s http://127.0.0.1:8099/ > wrk.out 2>&1; grep -c 'Requests/sec' wrk.out; grep -E 'Socket errors|Non-2xx' wrk.out
kill -HUP $server
get http://127.0.0.1:8099/
kill -QUIT $server; wait $server; echo "ended $?"
test -e run/pid || echo "pid file is gone"
