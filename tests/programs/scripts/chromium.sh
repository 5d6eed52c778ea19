# Chromium without a window: a local page as a PDF, a picture, and its DOM after scripts ran
cat > page.html <<'H'
<!doctype html><title>t</title><h1>Local page</h1><p id=p></p><canvas id=c width=50 height=50></canvas>
<script>document.getElementById('p').textContent = [1, 2, 3].map(n => n * n).join('-');
document.getElementById('c').getContext('2d').fillRect(0, 0, 9, 9);</script>
H
browser() { chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --user-data-dir="$PWD/profile" "$@" 2>err; echo "chromium $?"; }
browser --print-to-pdf=out.pdf --no-pdf-header-footer "file://$PWD/page.html"
head -c 5 out.pdf; echo
tail -c 6 out.pdf
browser --dump-dom "file://$PWD/page.html" | grep -o '<p id="p">.*</p>'
