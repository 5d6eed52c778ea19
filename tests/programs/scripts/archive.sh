# tar, xz and gzip there and back.
set -e
mkdir -p in/deep/er && cd in
seq 1 50000 > numbers
head -c 300000 /dev/zero > zeros
ln -s numbers link && ln numbers hard && mkfifo deep/fifo && chmod 640 deep/er && : > 'deep/name with spaces'
touch -d '2010-01-01 UTC' numbers
cd ..
tar -cf - in | xz -T2 -1 > a.tar.xz
xz -l a.tar.xz > /dev/null
mkdir out && xz -dc a.tar.xz | tar -xpf - -C out
diff -r --no-dereference -x fifo in out/in && echo same
find out/in | sort
stat -c '%n %a' out/in/numbers out/in/deep/er
stat -c '%h' out/in/hard
stat -c '%Y' out/in/numbers
tar -czf b.tar.gz in && tar -tzf b.tar.gz | sort | head -n 3
gzip -dc b.tar.gz | tar -xf - -O in/numbers | md5sum
rm -r in out
tar -xJf a.tar.xz && md5sum < in/numbers
