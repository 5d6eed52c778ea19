# Run by busybox sh: its own applets, loops, functions, pipes, here-documents, traps, and a background job.
set -e
greet() { echo "hello $1"; }
for name in one two three; do greet "$name"; done
i=0
while [ $i -lt 20 ]; do i=$((i + 1)); echo $i; done | grep -c 1
cat <<END | tr a-z A-Z
here is a document
with two lines, sum $((6 * 7))
END
mkdir -p tree/a/b tree/c
echo text > tree/a/b/file
ln -s ../a tree/c/link
cp -r tree copy
find copy | sort
cat copy/c/link/b/file
ls -l tree/a/b | awk '{print $1, $5, $9}'
sed -n 's/t\(e\)xt/[\1]/p' tree/a/b/file
seq 1 1000 | sort -rn | head -n 3 | xargs
tar -cf tree.tar tree && tar -tf tree.tar | wc -l
md5sum tree/a/b/file
(exit 7) || echo "status $?"
sleep 0.05 &
wait $!
echo "job done $?"
trap 'echo trapped' USR1
kill -USR1 $$
rm -r tree copy tree.tar
test -e tree || echo gone
printf '%s|%d\n' end 3
