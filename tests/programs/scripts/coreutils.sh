# Over a tree of 20,000 files below $1: what finds, lists, reads, copies, changes and removes.
set -e
export LC_ALL=C
tree=$1
echo "files $(find "$tree" -type f | wc -l), directories $(find "$tree" -type d | wc -l)"
find "$tree" -type f -name '*7.txt' -size +10c -printf '%P %s %m\n' | sort | md5sum
find "$tree" -type f -print0 | xargs -0 cat | wc -lc
ls -R "$tree" | md5sum
ls -lnU "$tree/d07" | awk 'NR > 1 {print $1, $2, $5, $NF}' | sort | head -n 3
du -s --apparent-size "$tree/d03/s1" | cut -f1
grep -rl 'number 4242$' "$tree" | sed "s|$tree/||" | sort
grep -rc needle "$tree/d11" | grep -c ':1$'
sha256sum "$tree"/d00/s0/*.txt | sha256sum | cut -c1-16
cp -a "$tree/d05" copy
diff -r "$tree/d05" copy && echo "copy is the same"
chmod -R go-rx copy
find copy -type f -perm 600 | wc -l
mv copy moved
touch -d '2001-02-03 04:05:06 UTC' moved/s0/00.txt
stat -c '%Y %s %a %F' moved/s0/00.txt
sort -r moved/s1/*.txt | uniq | head -n 2
ln moved/s0/00.txt hard && stat -c %h hard
ln -s moved/s0 soft && readlink -f soft | sed "s|$PWD/||"
head -c 3 hard; tail -c 5 hard; wc -c < hard
split -n 3 hard part. && cat part.* | cmp - hard && echo "parts are the whole"
dd if=/dev/zero of=zeros bs=4096 count=100 status=none && truncate -s 1000 zeros && stat -c %s zeros
comm -12 <(seq 1 20) <(seq 10 30) | paste -sd,
join <(printf '1 a\n2 b\n') <(printf '1 x\n2 y\n')
tee one two < hard > /dev/null && cmp one two && echo "tee"
mkfifo pipe && (cat pipe > out & echo through > pipe; wait) && cat out
install -m 750 hard installed && stat -c %a installed
find moved -name '1*.txt' -delete && find moved -type f | wc -l
rm -rf moved && test ! -e moved && echo "removed"
test "$(id -u)" = "$(stat -c %u out)" && echo "owner"
timeout 0.1 sleep 10 || echo "timeout $?"
nproc > /dev/null && date -u -d @0 +%FT%T && basename "$(pwd -P)"
